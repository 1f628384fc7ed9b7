import Buffers
import ClusterProtocol
import CounterRandom
import NeuralNetwork
import Partitions
import RunFiles

/// A run of a small model, and checkpoints of it with random bits.
package enum Sample {
    /// One dense layer: 64 inputs and a bias a unit.
    package static func material(
        units: Int = 10, side: Int = 8, optimizer: OptimizerSpecification = .adam(Adam()),
        transformations: [Transformation] = []
    ) throws -> RunMaterial {
        var configuration = RunConfiguration()
        configuration.data.transformations = transformations
        configuration.optimizer = optimizer
        configuration.model = .specification(
            ModelSpecification(
                name: "tiny", inputShape: [1, side, side], layers: [.flatten, .dense(units: units)]))
        let data = DataSummary(
            name: "sample", shape: [1, side, side], classCount: units, testCount: 10,
            fingerprint: "data", partitionRecordCounts: [100, 100])
        return try RunMaterial(configuration, data: data, backend: .reference)
    }

    /// Bit patterns of every kind: NaN, infinities, denormals and negative zeros among them.
    package static func checkpoint(_ material: RunMaterial, step: Int) -> Checkpoint {
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

    package static func bits(_ checkpoint: Checkpoint) -> [[UInt8]] {
        checkpoint.parts.map { Array($0.bytes) }
    }
}

/// The error that `body` throws; nil when it throws none, or one of another type.
package func failure<Value>(_ body: () throws -> Value) -> RunError? {
    do {
        _ = try body()
        return nil
    } catch { return error as? RunError }
}
