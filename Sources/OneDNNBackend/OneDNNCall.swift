import COneDNN
import NeuralNetwork

/// An operation with its arguments.
///
/// Safety: a call owns one handle of the C shim and keeps alive what the handle refers to. The
/// objects of one engine stay on its thread.
final class OneDNNCall {
    private let handle: OpaquePointer
    private let operation: OneDNNOperation
    private var memories: [OneDNNMemory] = []

    init(_ operation: OneDNNOperation) throws(BackendError) {
        self.operation = operation
        var handle: OpaquePointer?
        try OneDNNLibrary.check(convoy_dnnl_call_create(&handle, operation.handle), "planning a call")
        self.handle = handle!
    }

    deinit { convoy_dnnl_call_destroy(handle) }

    /// oneDNN's name of the kernel.
    var implementation: String { operation.implementation }
    var kind: OneDNNOperation.Kind { operation.kind }
    /// The bytes of all arguments that are read or written, without scratchpads.
    private(set) var byteCount = 0

    /// Sets the memory of an argument, and keeps it alive.
    func bind(_ argument: OneDNNArgument, _ memory: OneDNNMemory) {
        convoy_dnnl_call_bind(handle, argument.code, memory.handle)
        memories.append(memory)
        if argument != .scratchpad { byteCount += memory.byteCount }
    }

    /// Runs the operation. A failure stops the process: no input can cause one, since everything
    /// was checked when the call was planned.
    func run(_ context: OneDNNContext) {
        let status = convoy_dnnl_call_run(handle, context.handle)
        precondition(status == 0, String(cString: convoy_dnnl_message()))
    }
}
