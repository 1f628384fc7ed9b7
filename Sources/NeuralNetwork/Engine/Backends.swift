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

/// The only place that chooses backends and creates engines.
public enum Backends {
    /// The backends that are part of this build. oneDNN is one of them where its header was
    /// installed.
    public static var available: [BackendKind] {
        #if CONVOY_ONEDNN
            [.reference, .native, .oneDNN]
        #else
            [.reference, .native]
        #endif
    }

    /// Returns the backend that a choice stands for in this build and on this host.
    ///
    /// A named backend stands for itself. `auto` stands for:
    /// - `native` in fp32 with tiles of eight images, on hosts where ``NativeEngine/isFastHere``:
    ///   its kernels need half the products that oneDNN's need (`convoy bench step` measures both);
    /// - `native` in bf16 with tiles of eight images, unless oneDNN has instructions for bf16 here;
    /// - otherwise oneDNN where it is part of the build, and `reference` where it is not.
    ///
    /// A network that oneDNN does not compute counts as if oneDNN were not there. The result of
    /// `auto` depends on the host, so the coordinator resolves it once for all workers.
    /// - Throws: ``BackendError`` when the backend is not part of this build.
    public static func resolve(
        _ choice: BackendChoice, precision: Precision = .fp32,
        tileSize: Int = EngineConfiguration().tileSize, for network: Network? = nil
    ) throws(BackendError) -> BackendKind {
        let kind: BackendKind
        switch choice {
        case .auto:
            let canBeNative = tileSize == NativeEngine.tileSize
            let canBeOneDNN = available.contains(.oneDNN) && (network.map(isForOneDNN) ?? true)
            switch precision {
            case .fp32: if canBeNative, NativeEngine.isFastHere { return .native }
            case .bf16:
                if canBeNative, !canBeOneDNN || !hasBF16Instructions { return .native }
            }
            return canBeOneDNN ? .oneDNN : canBeNative ? .native : .reference
        case .oneDNN: kind = .oneDNN
        case .native: kind = .native
        case .reference: kind = .reference
        }
        guard available.contains(kind) else { throw notBuilt(kind) }
        return kind
    }

    /// Returns whether oneDNN computes every node of a network.
    private static func isForOneDNN(_ network: Network) -> Bool {
        #if CONVOY_ONEDNN
            return network.nodes.allSatisfy { LayerStage.problem($0, network) == nil }
        #else
            return false
        #endif
    }

    /// Returns the backend's name for the best instruction set of this host.
    ///
    /// oneDNN's names are "sse41", "avx2", "avx512_core", "avx512_core_bf16" and so on; in a build
    /// without oneDNN the name is "none". The other backends compute the same on every host:
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

    /// Checks that the processor has the instructions that a backend needs for a precision.
    ///
    /// Only oneDNN in bf16 needs instructions of its own: avx512_core_bf16.
    /// - Parameters:
    ///   - backend: the backend that will compute.
    ///   - precision: the number format that it will compute in.
    ///   - instructionSet: the instruction set that it will compute with, by its own name; nil
    ///     means the best of this host.
    /// - Throws: ``BackendError`` when the instructions are missing.
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

    /// Creates an engine for one compute thread.
    ///
    /// - Throws: ``BackendError`` for a tile size below 1, for a backend that is not part of this
    ///   build, and for a configuration that the backend does not support.
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

    /// Returns the bytes that an engine allocates for microbatches of this number of records.
    ///
    /// An engine of `native` is planned without its memory, so the count is that of the plan. Of
    /// `reference` it is a lower bound: the parameters, and the values between layers with their
    /// gradients. So it is of `oneDNN`, whose library keeps its own sizes: the parameters, and the
    /// largest output of a layer for one tile.
    /// - Throws: ``BackendError`` for a network that the backend does not compute.
    public static func engineByteCount(
        _ backend: BackendKind, network: Network, configuration: EngineConfiguration, records: Int
    ) throws(BackendError) -> Int {
        switch backend {
        case .reference: return ReferenceNetwork<Float>.byteCount(network, records: records)
        case .native:
            return try NativeEngine.byteCount(
                network, precision: configuration.precision, records: records)
        case .oneDNN:
            let largest = network.nodes.map(\.outputElementCount).max() ?? 0
            let images = min(configuration.tileSize, records)
            return 4 * (network.parameters.elementCount + largest * images)
        }
    }

    private static func notBuilt(_ kind: BackendKind) -> BackendError {
        BackendError(
            backend: kind,
            problem: "is not part of this build; install libdnnl-dev and build again, "
                + "or use --backend native")
    }
}
