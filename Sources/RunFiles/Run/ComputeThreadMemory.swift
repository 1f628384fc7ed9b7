import Backends
import NeuralNetwork

/// The memory that one compute thread of a worker takes.
public struct ComputeThreadMemory: Sendable, Hashable {
    /// The bytes of the engine: weights in the order of its kernels, values between layers, and
    /// their gradients.
    public let engine: Int
    /// The bytes of a gradient sum.
    public let gradient: Int
    /// The bytes of the images of a microbatch that is read ahead.
    public let microbatch: Int
    /// The bytes of the images of a chunk of test records.
    public let evaluation: Int

    /// The bytes in all.
    public var byteCount: Int { engine + gradient + microbatch + evaluation }

    /// Counts the memory of a thread, without allocating it.
    ///
    /// - Parameters:
    ///   - network: the network that is computed.
    ///   - backend: the backend that computes it; see
    ///     ``Backends/Backends/engineByteCount(_:network:configuration:records:)``.
    ///   - configuration: the configuration of the engine.
    ///   - recordCount: the number of records in a microbatch.
    /// - Throws: `BackendError` for a network that the backend does not compute.
    public init(
        network: Network, backend: BackendKind, configuration: EngineConfiguration, recordCount: Int
    ) throws(BackendError) {
        let imageByteCount = network.inputElementCount * MemoryLayout<Float>.size
        engine = try Backends.engineByteCount(
            backend, network: network, configuration: configuration, records: recordCount)
        gradient = network.parameters.elementCount * MemoryLayout<Float>.size
        microbatch = recordCount * imageByteCount
        evaluation = RunMaterial.evaluationChunkRecordCount * imageByteCount
    }
}
