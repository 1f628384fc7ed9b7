import Buffers
import Checksums
import ClusterProtocol
import FoundationEssentials
import NeuralNetwork
import SafeTensors

/// The state of a run after a number of steps: parameters and optimizer state as flat vectors.
public struct Checkpoint: Sendable {
    public var step: Int
    /// Flat, in slot order: the weights, then each vector of the optimizer's state.
    public var parts: [FloatBuffer]

    public init(step: Int, parts: [FloatBuffer]) {
        self.step = step
        self.parts = parts
    }

    /// A new run's state: initial weights and zeros.
    public static func initial(_ weights: [Float], partCount: Int) -> Checkpoint {
        let first = FloatBuffer(count: weights.count)
        weights.withUnsafeBytes { first.copy($0) }
        return Checkpoint(
            step: 0,
            parts: [first] + (1..<max(1, partCount)).map { _ in FloatBuffer(count: weights.count) })
    }

    /// Whether weights and optimizer state are numbers, all of them.
    public var isFinite: Bool {
        parts.allSatisfy { part in
            UnsafeBufferPointer(start: part.pointer, count: part.count).allSatisfy(\.isFinite)
        }
    }

    /// SHA-256 of the flat parameters, fp32, little-endian, in slot order.
    public var weightsSHA256: String { SHA256.hexadecimal(of: parts[0].bytes) }
}

/// What `state.json` of a checkpoint says.
public struct CheckpointState: Codable, Sendable, Hashable {
    public struct File: Codable, Sendable, Hashable {
        public var bytes: Int
        public var sha256: String
    }

    public var format = "convoy-checkpoint"
    public var version = 1
    public var step: Int
    public var epoch: Int
    public var stepInEpoch: Int
    public var model: String
    public var modelFingerprint: String
    public var dataFingerprint: String
    public var optimizer: String
    public var seed: UInt64
    public var batchSize: Int
    public var virtualWorkers: Int
    public var backend: String
    public var instructionSet: String
    public var precision: String
    /// Nil in what was written before there was a choice: fp32.
    public var wirePrecision: String?
    /// Every setting that decides bits, by key; nil in what was written before they were kept.
    public var settings: [String: String]?
    public var weightsSHA256: String
    public var files: [String: File]

    private enum CodingKeys: String, CodingKey {
        case format, version, step, epoch, model, optimizer, seed, backend, precision, settings, files
        case stepInEpoch = "step_in_epoch"
        case modelFingerprint = "model_fingerprint"
        case dataFingerprint = "data_fingerprint"
        case batchSize = "batch_size"
        case virtualWorkers = "virtual_workers"
        case wirePrecision = "wire_precision"
        case instructionSet = "instruction_set"
        case weightsSHA256 = "weights_sha256"
    }
}
