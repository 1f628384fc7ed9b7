/// The code that computes gradients: what it can do on this host, and how its engines are made.
///
/// A backend is a type that conforms, a line in the list of the module `Backends`, and a case in
/// ``BackendKind`` and ``BackendChoice``.
public protocol Backend: Sendable {
    /// The backend's name.
    var kind: BackendKind { get }

    /// The best instruction set of this host, by the backend's own name for it; "generic" for a
    /// backend that computes the same everywhere.
    var hostInstructionSet: String { get }

    /// Returns why the backend does not compute a node; nil for a node that it computes.
    ///
    /// - Returns: a phrase that follows the node's name in a message.
    func problem(with node: Node, of network: Network) -> String?

    /// Checks that the processor has the instructions that the backend needs for a precision.
    ///
    /// - Parameters:
    ///   - precision: the number format to compute in.
    ///   - instructionSet: the instruction set to compute with; nil means the best of this host.
    /// - Throws: ``BackendError`` when instructions are missing.
    func requireInstructions(
        _ precision: Precision, instructionSet: String?
    ) throws(BackendError)

    /// Creates an engine for one compute thread.
    ///
    /// - Throws: ``BackendError`` for a configuration or a node that the backend does not support.
    func makeEngine(
        _ network: Network, _ configuration: EngineConfiguration
    ) throws(BackendError) -> any GradientEngine

    /// Returns the bytes that an engine allocates for microbatches of this number of records, or a
    /// lower bound of them.
    ///
    /// - Throws: ``BackendError`` for a network that the backend does not compute.
    func engineByteCount(
        _ network: Network, _ configuration: EngineConfiguration, records: Int
    ) throws(BackendError) -> Int
}

extension Backend {
    /// Returns whether the backend computes every node of a network.
    public func supports(_ network: Network) -> Bool {
        network.nodes.allSatisfy { problem(with: $0, of: network) == nil }
    }

    /// Checks that the backend computes every node of a network.
    ///
    /// - Throws: ``BackendError`` that names the first node that it does not compute.
    public func require(_ network: Network) throws(BackendError) {
        for node in network.nodes {
            guard let problem = problem(with: node, of: network) else { continue }
            throw BackendError(backend: kind, problem: "\(node.name): \(problem)")
        }
    }

    /// Accepts every precision: most backends need no instructions of their own.
    public func requireInstructions(
        _ precision: Precision, instructionSet: String?
    ) throws(BackendError) {}
}

/// A request that a backend cannot carry out in this build or on this host.
public struct BackendError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The backend that refused.
    public let backend: BackendKind
    /// The reason and what to do, as a phrase that follows the backend's name.
    public let problem: String

    /// Creates an error of a backend.
    public init(backend: BackendKind, problem: String) {
        self.backend = backend
        self.problem = problem
    }

    /// The message for the user: "backend NAME: PROBLEM".
    public var description: String { "backend \(backend.rawValue): \(problem)" }
}
