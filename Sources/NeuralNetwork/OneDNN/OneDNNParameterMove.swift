/// One tensor's way between the flat vector and the layout it is used in.
struct OneDNNParameterMove {
    enum Kind {
        /// The memory to point into the flat vector, and the call that reads or writes it.
        case reorder(OneDNNMemory, OneDNNCall)
        case copy
    }

    let slot: ParameterSlot
    let kind: Kind
    let tensor: OneDNNTensor

    func load(_ parameters: UnsafePointer<Float>, _ context: OneDNNContext) {
        let values = parameters + slot.offset
        switch kind {
        case .reorder(let flat, let call):
            // Only read: it is a reorder's source.
            flat.point(at: UnsafeMutableRawPointer(mutating: values))
            call.run(context)
        case .copy: tensor.buffer.floats.update(from: values, count: slot.elementCount)
        }
    }

    func store(into gradient: UnsafeMutablePointer<Float>, _ context: OneDNNContext) {
        let values = gradient + slot.offset
        switch kind {
        case .reorder(let flat, let call):
            flat.point(at: values)
            call.run(context)
        case .copy: values.update(from: tensor.buffer.floats, count: slot.elementCount)
        }
    }

    /// Bytes read and written.
    var byteCount: Int { slot.elementCount * 4 + tensor.layout.byteCount }
}
