/// The reference backend: every kind of layer, in fp32, on every host.
public struct ReferenceBackend: Backend {
    /// ``BackendKind/reference``.
    public var kind: BackendKind { .reference }
    /// The only instruction set: ``ReferenceEngine/instructionSet``.
    public var hostInstructionSet: String { ReferenceEngine.instructionSet }

    /// Creates the backend.
    public init() {}

    /// Returns nil: the backend computes every node.
    public func problem(with node: Node, of network: Network) -> String? { nil }

    /// Creates an engine; see ``ReferenceEngine/init(network:configuration:)``.
    public func makeEngine(
        _ network: Network, _ configuration: EngineConfiguration
    ) throws(BackendError) -> any GradientEngine {
        try ReferenceEngine(network: network, configuration: configuration)
    }

    /// Returns a lower bound: the parameters, and the values between layers with their gradients.
    public func engineByteCount(
        _ network: Network, _ configuration: EngineConfiguration, records: Int
    ) -> Int {
        ReferenceNetwork<Float>.byteCount(network, records: records)
    }
}
