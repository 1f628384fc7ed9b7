import Buffers
import ClusterProtocol
import ClusterRuntime
import CounterRandom
import FoundationEssentials
import Glibc
import NeuralNetwork
import RunFiles
import Testing

/// A directory that is removed together with its last reference.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.path + "/convoy-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ bytes: [UInt8], _ name: String) throws {
        try Data(bytes).write(to: URL(filePath: "\(path)/\(name)"))
    }

    func append(_ text: String, _ name: String) throws {
        try write(read(name) + Array(text.utf8), name)
    }

    func read(_ name: String) throws -> [UInt8] {
        try [UInt8](Data(contentsOf: URL(filePath: "\(path)/\(name)")))
    }

    func text(_ name: String) throws -> String { try String(decoding: read(name), as: UTF8.self) }

    func copy(_ source: String, to target: String) throws {
        try FileManager.default.copyItem(atPath: "\(path)/\(source)", toPath: "\(path)/\(target)")
    }
}

/// A run of a small model, and checkpoints of it with random bits.
enum Sample {
    /// A model of one dense layer.
    static func material(
        units: Int = 10, side: Int = 8, optimizer: OptimizerSpecification = .adam(Adam())
    ) throws -> RunMaterial {
        var configuration = RunConfiguration()
        configuration.optimizer = optimizer
        configuration.model = .specification(
            ModelSpecification(
                name: "tiny", inputShape: [1, side, side], layers: [.flatten, .dense(units: units)]))
        let data = DataSummary(
            name: "sample", shape: [1, side, side], classCount: units, testCount: 10,
            fingerprint: "data", partitionRecordCounts: [100, 100])
        return try RunMaterial(configuration, data: data, backend: .reference)
    }

    /// A checkpoint of random bit patterns, with NaN, infinities, denormals and negative zeros
    /// among them.
    static func checkpoint(_ material: RunMaterial, step: Int) -> Checkpoint {
        var random = RandomStream(seed: UInt64(step), purpose: .simulation)
        let parts = (0..<material.partCount).map { _ in
            let buffer = FloatBuffer(count: material.network.parameters.elementCount)
            for index in 0..<buffer.count {
                buffer.pointer[index] = Float(bitPattern: random.next32())
            }
            buffer.pointer[0] = -0.0
            buffer.pointer[1] = .infinity
            buffer.pointer[2] = Float(bitPattern: 0x7FC0_1234)
            buffer.pointer[3] = .leastNonzeroMagnitude
            return buffer
        }
        return Checkpoint(step: step, parts: parts)
    }

    static func bits(_ checkpoint: Checkpoint) -> [[UInt8]] {
        checkpoint.parts.map { Array($0.bytes) }
    }
}

/// Returns the failure that `body` throws.
func failure<Value>(_ body: () throws -> Value) -> Failure? {
    do {
        _ = try body()
        return nil
    } catch { return error as? Failure }
}
