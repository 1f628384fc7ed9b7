/// The number format of weights, activations and the gradients of activations in a network.
///
/// Biases, the network's outputs and the gradients of parameters are single precision in any case.
public enum Precision: String, Sendable, Hashable, Codable, CaseIterable {
    /// IEEE 754 single precision.
    case fp32
    /// bfloat16: the upper 16 bits of a single-precision number.
    case bf16
}

/// The code that computes gradients.
public enum BackendKind: String, Sendable, Hashable, Codable, CaseIterable {
    /// Plain Swift: it runs on every host, and the other backends are tested against it.
    case reference
    /// Convoy's own vector kernels: they give the same bits on every processor.
    case native
    /// Intel's oneDNN library.
    case oneDNN = "onednn"
}

/// A backend as a user asks for it: by name, or `auto`.
public enum BackendChoice: String, Sendable, Hashable, Codable, CaseIterable {
    /// The names of all choices as one phrase for messages: "auto, onednn, native or reference".
    public static var list: String {
        let names = allCases.map(\.rawValue)
        return names.dropLast().joined(separator: ", ") + " or " + names[names.count - 1]
    }

    /// The backend that is expected to be the fastest here; the module `Backends` chooses it.
    case auto
    /// Intel's oneDNN library: ``BackendKind/oneDNN``.
    case oneDNN = "onednn"
    /// Convoy's own vector kernels: ``BackendKind/native``.
    case native
    /// Plain Swift: ``BackendKind/reference``.
    case reference
}

/// The values besides the network that determine an engine's bits. They come from the run, never
/// from the host.
public struct EngineConfiguration: Sendable, Hashable {
    /// The run's seed. It keys the dropout masks.
    public var seed: UInt64
    /// The number of images that are computed together, at least 1. `native` accepts only 8, and
    /// `reference` ignores it.
    public var tileSize: Int
    /// The number format to compute in. `reference` accepts only fp32.
    public var precision: Precision
    /// The instruction set that all workers agreed on, by the backend's name for it; nil means the
    /// best of this host.
    public var instructionSet: String?
    /// The loss of training records, with class weights as numbers.
    public var loss: LossFunction

    /// Creates a configuration.
    public init(
        seed: UInt64 = 0, tileSize: Int = 8, precision: Precision = .fp32,
        instructionSet: String? = nil, loss: LossFunction = LossFunction()
    ) {
        self.seed = seed
        self.tileSize = tileSize
        self.precision = precision
        self.instructionSet = instructionSet
        self.loss = loss
    }
}
