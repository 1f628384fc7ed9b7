/// The arithmetic of convolutions and dense layers; everything else is single precision.
public enum Precision: String, Sendable, Hashable, Codable, CaseIterable {
    case fp32
    case bf16
}

/// The code that computes gradients.
public enum BackendKind: String, Sendable, Hashable, Codable, CaseIterable {
    /// Plain Swift: the oracle, and what runs anywhere.
    case reference
    /// Our own vector kernels: the same bits on every processor.
    case native
    /// Intel's oneDNN library.
    case oneDNN = "onednn"
}

/// What a user may ask for.
public enum BackendChoice: String, Sendable, Hashable, Codable, CaseIterable {
    /// The choices, for messages.
    public static var list: String {
        let names = allCases.map(\.rawValue)
        return names.dropLast().joined(separator: ", ") + " or " + names[names.count - 1]
    }

    /// The fastest here for what is to be computed.
    case auto
    case oneDNN = "onednn"
    case native
    case reference
}

/// What, besides the network, decides an engine's bits. It comes from the run, never from the host.
public struct EngineConfiguration: Sendable, Hashable {
    /// The run's seed; dropout is keyed by it.
    public var seed: UInt64
    /// Samples that are computed together; a backend may ignore it.
    public var tileSize: Int
    public var precision: Precision
    /// The instruction set every worker agreed on, in the backend's words; nil is this host's best.
    public var instructionSet: String?

    public init(
        seed: UInt64 = 0, tileSize: Int = 8, precision: Precision = .fp32,
        instructionSet: String? = nil
    ) {
        self.seed = seed
        self.tileSize = tileSize
        self.precision = precision
        self.instructionSet = instructionSet
    }
}
