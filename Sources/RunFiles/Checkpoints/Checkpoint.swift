import Buffers
import Checksums
import ClusterProtocol
import FoundationEssentials
import NeuralNetwork
import SafeTensors

/// The state of a run after a number of steps: parameters and optimizer state as flat vectors.
public struct Checkpoint: Sendable {
    /// The number of updates that the weights have had.
    public var step: Int
    /// The flat vectors, in slot order: the weights, then each vector of the optimizer's state.
    public var parts: [FloatBuffer]
    /// The tensors' places in the vectors, in slot order; nil where that is the order of the
    /// vectors. See `ParameterLayout.order`.
    public var order: [Range<Int>]?

    /// Creates a checkpoint from its vectors.
    public init(step: Int, parts: [FloatBuffer], order: [Range<Int>]? = nil) {
        self.step = step
        self.parts = parts
        self.order = order
    }

    /// Returns the state of a new run: the given weights, and zeros for the optimizer's state.
    ///
    /// - Parameters:
    ///   - weights: the flat parameter vector.
    ///   - partCount: the number of vectors: 1 for the weights, and 1 for each vector of the
    ///     optimizer's state.
    package static func initial(
        _ weights: FloatBuffer, partCount: Int, order: [Range<Int>]?
    ) -> Checkpoint {
        Checkpoint(
            step: 0,
            parts: [weights]
                + (1..<max(1, partCount)).map { _ in FloatBuffer(count: weights.count) },
            order: order)
    }

    /// Returns a copy of what is frozen in the weights, or in another part; nil where nothing is.
    package func frozen(_ layout: ParameterLayout, part: Int = 0) -> FloatBuffer? {
        if layout.frozen.isEmpty { return nil }
        let copy = FloatBuffer(count: layout.frozen.count)
        copy.copy(parts[part].bytes(layout.frozen))
        return copy
    }

    /// Whether all weights and the whole optimizer state are finite numbers.
    public var isFinite: Bool {
        parts.allSatisfy { part in
            UnsafeBufferPointer(start: part.pointer, count: part.count).allSatisfy(\.isFinite)
        }
    }

    /// The SHA-256 of the flat parameters (fp32, little-endian, in slot order) in hexadecimal
    /// digits.
    public var weightsSHA256: String {
        var hash = SHA256()
        for range in order ?? [0..<parts[0].count] {
            hash.update(bufferPointer: parts[0].bytes(range))
        }
        return hexadecimal(hash.finalize())
    }
}

/// The content of a checkpoint's `state.json`.
public struct CheckpointState: Codable, Sendable, Hashable {
    /// The size and the checksum of one file of the checkpoint.
    public struct File: Codable, Sendable, Hashable {
        /// The length in bytes.
        public var bytes: Int
        /// The SHA-256 in hexadecimal digits.
        public var sha256: String
    }

    /// The kind of the file; readers refuse any other.
    public var format = "convoy-checkpoint"
    /// The version of the format; readers refuse any other.
    public var version = 1
    /// The number of updates that the weights have had.
    public var step: Int
    /// The epoch of the next step, from 0.
    public var epoch: Int
    /// The number of the next step within its epoch, from 0.
    public var stepInEpoch: Int
    /// The name of the model.
    public var model: String
    /// The fingerprint of the architecture; a checkpoint fits only a network with the same one.
    public var modelFingerprint: String
    /// The fingerprint of the data set, transformations included.
    public var dataFingerprint: String
    /// The name of the optimizer.
    public var optimizer: String
    /// The seed of the run.
    public var seed: UInt64
    /// The number of records in a step.
    public var batchSize: Int
    /// The number of virtual workers.
    public var virtualWorkers: Int
    /// The backend that computed the run.
    public var backend: String
    /// The instruction set that the workers settled on.
    public var instructionSet: String
    /// The precision of the arithmetic.
    public var precision: String
    /// The precision in which contributions and weights travel. It is nil in checkpoints from
    /// before there was a choice; these used fp32.
    public var wirePrecision: String?
    /// All settings that decide bits, by key. It is nil in checkpoints from before they were kept.
    public var settings: [String: String]?
    /// The SHA-256 of the flat parameters, as ``Checkpoint/weightsSHA256``.
    public var weightsSHA256: String
    /// The files of the checkpoint, by name.
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
