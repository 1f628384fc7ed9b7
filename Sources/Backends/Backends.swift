import NeuralNetwork

#if CONVOY_ONEDNN
    import OneDNNBackend
#endif

/// The backends of this build: the only place that lists them, chooses one, and creates engines.
public enum Backends {
    /// The backends, a line each. oneDNN is one of them where its header was installed.
    public static let all: [any Backend] = {
        var all: [any Backend] = [ReferenceBackend(), NativeBackend()]
        #if CONVOY_ONEDNN
            all.append(OneDNNBackend())
        #endif
        return all
    }()

    /// The names of the backends of this build.
    public static var available: [BackendKind] { all.map(\.kind) }

    /// Returns a backend by its name.
    ///
    /// - Throws: ``BackendError`` when the backend is not part of this build.
    public static func backend(_ kind: BackendKind) throws(BackendError) -> any Backend {
        if let backend = find(kind) { return backend }
        throw BackendError(
            backend: kind,
            problem: "is not part of this build; install libdnnl-dev and build again, "
                + "or use --backend native")
    }

    /// Returns a backend of this build, or nil.
    private static func find(_ kind: BackendKind) -> (any Backend)? {
        all.first { $0.kind == kind }
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
        switch choice {
        case .oneDNN: return try backend(.oneDNN).kind
        case .native: return try backend(.native).kind
        case .reference: return try backend(.reference).kind
        case .auto:
            let canBeNative = tileSize == NativeEngine.tileSize
            let oneDNN = find(.oneDNN)
            let canBeOneDNN = oneDNN.map { network.map($0.supports) ?? true } ?? false
            switch precision {
            case .fp32: if canBeNative, NativeEngine.isFastHere { return .native }
            case .bf16:
                if canBeNative, !canBeOneDNN || !hasBF16Instructions { return .native }
            }
            return canBeOneDNN ? .oneDNN : canBeNative ? .native : .reference
        }
    }

    /// Returns the backend's name for the best instruction set of this host; "none" for a backend
    /// that is not part of this build. See ``Backend/hostInstructionSet``.
    public static func hostInstructionSet(_ kind: BackendKind) -> String {
        find(kind)?.hostInstructionSet ?? "none"
    }

    /// Whether oneDNN is part of this build and computes bf16 on this host.
    public static var hasBF16Instructions: Bool {
        do throws(BackendError) {
            try backend(.oneDNN).requireInstructions(.bf16, instructionSet: nil)
            return true
        } catch {
            return false
        }
    }

    /// Checks that the processor has the instructions that a backend needs for a precision.
    ///
    /// - Parameters:
    ///   - kind: the backend that will compute.
    ///   - precision: the number format that it will compute in.
    ///   - instructionSet: the instruction set that it will compute with, by its own name; nil
    ///     means the best of this host.
    /// - Throws: ``BackendError`` when the instructions are missing.
    public static func requireInstructions(
        _ kind: BackendKind, precision: Precision, instructionSet: String? = nil
    ) throws(BackendError) {
        try find(kind)?.requireInstructions(precision, instructionSet: instructionSet)
    }

    /// Creates an engine for one compute thread.
    ///
    /// - Throws: ``BackendError`` for a tile size below 1, for a backend that is not part of this
    ///   build, and for a configuration that the backend does not support.
    public static func makeEngine(
        _ kind: BackendKind, network: Network, configuration: EngineConfiguration
    ) throws(BackendError) -> any GradientEngine {
        guard configuration.tileSize >= 1 else {
            throw BackendError(
                backend: kind,
                problem: "expected a tile size of at least 1, found \(configuration.tileSize)")
        }
        return try backend(kind).makeEngine(network, configuration)
    }

    /// Returns the bytes that an engine allocates; see
    /// ``Backend/engineByteCount(_:_:records:)``.
    ///
    /// - Throws: ``BackendError`` for a network that the backend does not compute.
    public static func engineByteCount(
        _ kind: BackendKind, network: Network, configuration: EngineConfiguration, records: Int
    ) throws(BackendError) -> Int {
        try backend(kind).engineByteCount(network, configuration, records: records)
    }
}
