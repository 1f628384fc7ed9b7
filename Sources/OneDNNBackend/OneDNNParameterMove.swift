import NeuralNetwork

/// The copying of one tensor between the flat vector and the layout that the tensor is used in.
struct OneDNNParameterMove {
    enum Kind {
        /// The memory to point into the flat vector, and the call that reads or writes that memory.
        case reorder(OneDNNMemory, OneDNNCall)
        /// A plain copy, since both layouts are the same.
        case copy
    }

    let slot: ParameterSlot
    let kind: Kind
    let tensor: OneDNNTensor

    /// Copies the tensor from the flat parameter vector.
    func load(_ parameters: UnsafePointer<Float>, _ context: OneDNNContext) {
        let values = parameters + slot.offset
        switch kind {
        case .reorder(let flat, let call):
            // The values are only read, since they are the source of a reorder.
            flat.point(at: UnsafeMutableRawPointer(mutating: values))
            call.run(context)
        case .copy: tensor.buffer.floats.update(from: values, count: slot.elementCount)
        }
    }

    /// Copies the tensor to the flat gradient.
    func store(into gradient: UnsafeMutablePointer<Float>, _ context: OneDNNContext) {
        let values = gradient + slot.offset
        switch kind {
        case .reorder(let flat, let call):
            flat.point(at: values)
            call.run(context)
        case .copy: values.update(from: tensor.buffer.floats, count: slot.elementCount)
        }
    }

    /// The bytes that are read and written each time.
    var byteCount: Int { slot.elementCount * 4 + tensor.layout.byteCount }
}
