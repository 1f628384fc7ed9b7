/// A backend that cannot do what is asked of it here.
public struct BackendError: Error, Hashable, Sendable, CustomStringConvertible {
    public let backend: BackendKind
    public let problem: String

    public init(backend: BackendKind, problem: String) {
        self.backend = backend
        self.problem = problem
    }

    public var description: String { "backend \(backend.rawValue): \(problem)" }
}

/// The one place that decides a backend.
public enum Backends {
    /// What this build has.
    public static var available: [BackendKind] {
        #if CONVOY_ONEDNN
            [.reference, .native, .oneDNN]
        #else
            [.reference, .native]
        #endif
    }

    /// The backend a choice comes to, in this build and on this host.
    ///
    /// `auto`: our own kernels on a host with AVX2, since they need half the products of oneDNN's
    /// (`convoy bench step` measures both). They compute tiles of eight, so with other tiles oneDNN is
    /// the choice, and in bf16 where the processor has instructions for it. It depends on the host, so
    /// the coordinator decides it once, for all.
    public static func resolve(
        _ choice: BackendChoice, precision: Precision = .fp32,
        tileSize: Int = EngineConfiguration().tileSize
    ) throws(BackendError) -> BackendKind {
        let kind: BackendKind
        switch choice {
        case .auto:
            let canBeNative = tileSize == NativeEngine.tileSize
            switch precision {
            case .fp32: if canBeNative, NativeEngine.isFastHere { return .native }
            case .bf16: if canBeNative, !hasBF16Instructions { return .native }
            }
            return available.contains(.oneDNN) ? .oneDNN : .reference
        case .oneDNN: kind = .oneDNN
        case .native: kind = .native
        case .reference: kind = .reference
        }
        guard available.contains(kind) else { throw notBuilt(kind) }
        return kind
    }

    /// The backend's name for what this host can run: oneDNN says "sse41", "avx2", "avx512_core",
    /// "avx512_core_bf16" and so on; the other backends compute the same everywhere:
    /// "generic".
    public static func hostInstructionSet(_ backend: BackendKind) -> String {
        switch backend {
        case .reference: return ReferenceEngine.instructionSet
        case .native: return NativeEngine.instructionSet
        case .oneDNN:
            #if CONVOY_ONEDNN
                return OneDNN.hostInstructionSet
            #else
                return "none"
            #endif
        }
    }

    /// Whether oneDNN is part of this build and computes bf16 on this host.
    public static var hasBF16Instructions: Bool {
        guard available.contains(.oneDNN) else { return false }
        do throws(BackendError) { try requireInstructions(.oneDNN, precision: .bf16) } catch {
            return false
        }
        return true
    }

    /// Refuses a precision that a backend lacks the instructions for.
    ///
    /// - Parameter instructionSet: what it computes with; nil for this host's best.
    public static func requireInstructions(
        _ backend: BackendKind, precision: Precision, instructionSet: String? = nil
    ) throws(BackendError) {
        #if CONVOY_ONEDNN
            guard backend == .oneDNN, precision == .bf16 else { return }
            let found = instructionSet ?? OneDNN.hostInstructionSet
            guard OneDNN.instructionSet("avx512_core_bf16", runsOn: found) else {
                throw OneDNN.failure(
                    "bf16 needs the instruction set avx512_core_bf16, but this process computes "
                        + "with \(found); use --backend native, which needs none (tiles of eight), or fp32")
            }
        #endif
    }

    /// An engine for one compute thread.
    public static func makeEngine(
        _ backend: BackendKind, network: Network, configuration: EngineConfiguration
    ) throws(BackendError) -> any GradientEngine {
        guard configuration.tileSize >= 1 else {
            throw BackendError(
                backend: backend,
                problem: "expected a tile size of at least 1, found \(configuration.tileSize)")
        }
        switch backend {
        case .reference:
            return try ReferenceEngine(network: network, configuration: configuration)
        case .native: return try NativeEngine(network: network, configuration: configuration)
        case .oneDNN:
            #if CONVOY_ONEDNN
                return try OneDNNEngine(network: network, configuration: configuration)
            #else
                throw notBuilt(.oneDNN)
            #endif
        }
    }

    private static func notBuilt(_ kind: BackendKind) -> BackendError {
        BackendError(
            backend: kind,
            problem: "is not part of this build; install libdnnl-dev and build again, "
                + "or use --backend native")
    }
}
