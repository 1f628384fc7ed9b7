import COneDNN

/// An operation with its arguments.
///
/// Safety: owns one handle of the C shim and keeps alive what it refers to; the objects of one
/// engine stay on its thread.
final class OneDNNCall {
    private let handle: OpaquePointer
    private let operation: OneDNNOperation
    private var memories: [OneDNNMemory] = []

    init(_ operation: OneDNNOperation) throws(BackendError) {
        self.operation = operation
        var handle: OpaquePointer?
        try OneDNN.check(convoy_dnnl_call_create(&handle, operation.handle), "planning a call")
        self.handle = handle!
    }

    deinit { convoy_dnnl_call_destroy(handle) }

    var implementation: String { operation.implementation }
    var kind: OneDNNOperation.Kind { operation.kind }
    /// Bytes of everything that is read or written, without scratchpads.
    private(set) var byteCount = 0

    func bind(_ argument: OneDNNArgument, _ memory: OneDNNMemory) {
        convoy_dnnl_call_bind(handle, argument.code, memory.handle)
        memories.append(memory)
        if argument != .scratchpad { byteCount += memory.byteCount }
    }

    /// A failure here is no input's fault: everything was checked when the call was planned.
    func run(_ context: OneDNNContext) {
        let status = convoy_dnnl_call_run(handle, context.handle)
        precondition(status == 0, String(cString: convoy_dnnl_message()))
    }
}
