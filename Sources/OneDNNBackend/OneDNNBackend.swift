import NeuralNetwork

/// The backend of Intel's oneDNN: sequences of the article's layers, tiles of any size, and bf16 where
/// the processor has instructions for it.
public struct OneDNNBackend: Backend {
    /// ``BackendKind/oneDNN``.
    public var kind: BackendKind { .oneDNN }

    /// The best instruction set of this host, by oneDNN's name: "sse41", "avx2", "avx512_core",
    /// "avx512_core_bf16" and so on; "default" on processors other than x86-64.
    public var hostInstructionSet: String { OneDNNLibrary.hostInstructionSet }

    /// Creates the backend.
    public init() {}

    /// Returns why oneDNN's plan has no stage for a node.
    public func problem(with node: Node, of network: Network) -> String? {
        LayerStage.problem(node, network).map { "\($0) computed by native and reference alone" }
    }

    /// Checks that the processor computes bf16, which needs avx512_core_bf16; fp32 needs nothing.
    public func requireInstructions(
        _ precision: Precision, instructionSet: String?
    ) throws(BackendError) {
        guard precision == .bf16 else { return }
        let found = instructionSet ?? hostInstructionSet
        guard OneDNNLibrary.instructionSet("avx512_core_bf16", runsOn: found) else {
            throw OneDNNLibrary.failure(
                "bf16 needs the instruction set avx512_core_bf16, but this process computes "
                    + "with \(found); use --backend native, which needs none (tiles of eight), or fp32")
        }
    }

    /// Creates an engine; see ``OneDNNEngine/init(network:configuration:)``.
    public func makeEngine(
        _ network: Network, _ configuration: EngineConfiguration
    ) throws(BackendError) -> any GradientEngine {
        try OneDNNEngine(network: network, configuration: configuration)
    }

    /// Returns a lower bound, since the library keeps its own sizes: the parameters, and the largest
    /// output of a layer for one tile.
    public func engineByteCount(
        _ network: Network, _ configuration: EngineConfiguration, records: Int
    ) -> Int {
        let largest = network.nodes.map(\.outputElementCount).max() ?? 0
        let images = min(configuration.tileSize, records)
        return 4 * (network.parameters.elementCount + largest * images)
    }
}
