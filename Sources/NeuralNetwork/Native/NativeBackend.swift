/// The native backend: every kind of layer that is a `NativeLayer`, with the same bits on every host.
public struct NativeBackend: Backend {
    /// ``BackendKind/native``.
    public var kind: BackendKind { .native }
    /// The only instruction set: ``NativeEngine/instructionSet``.
    public var hostInstructionSet: String { NativeEngine.instructionSet }

    /// Creates the backend.
    public init() {}

    /// Returns why the backend does not compute a node: its kind has no kernels here.
    public func problem(with node: Node, of network: Network) -> String? {
        node.layer is any NativeLayer ? nil : "does not compute \(node.specification.kind)"
    }

    /// Creates an engine; see ``NativeEngine/init(network:configuration:)``.
    public func makeEngine(
        _ network: Network, _ configuration: EngineConfiguration
    ) throws(BackendError) -> any GradientEngine {
        try NativeEngine(network: network, configuration: configuration)
    }

    /// Returns the bytes of a plan, which is made without its memory.
    public func engineByteCount(
        _ network: Network, _ configuration: EngineConfiguration, records: Int
    ) throws(BackendError) -> Int {
        try NativeEngine.byteCount(network, precision: configuration.precision, records: records)
    }
}
