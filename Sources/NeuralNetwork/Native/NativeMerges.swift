import CKernels

/// The sum of two or more tensors.
final class NativeAdd: NativeStage {
    let node: Node
    let changesOutputGradient = false
    let passesGradient = true
    private let inputs: [LaneTensor]
    private let output: LaneTensor

    init(_ node: Node, inputs: [LaneTensor], output: LaneTensor) {
        self.node = node
        self.inputs = inputs
        self.output = output
    }

    func forward() -> [NativeOperation] {
        [
            NativeOperation("add", byteCount: (inputs.count + 1) * output.byteCount) {
                [unowned self] tile in
                let sum = output.at(tile)
                convoy_add(sum, inputs[0].at(tile), inputs[1].at(tile), output.floatCount)
                for input in inputs.dropFirst(2) {
                    convoy_add(sum, sum, input.at(tile), output.floatCount)
                }
            }
        ]
    }

    func backward(_ gradients: inout NativeGradients) -> [NativeOperation] {
        for input in inputs.indices { gradients.pass(to: input) }
        return []
    }
}

/// The product of two tensors, the second of which may have a factor for each channel.
final class NativeMultiply: NativeStage {
    let node: Node
    let changesOutputGradient = false
    private let inputs: [LaneTensor]
    private let output: LaneTensor

    init(_ node: Node, inputs: [LaneTensor], output: LaneTensor) {
        self.node = node
        self.inputs = inputs
        self.output = output
    }

    private var gateCount: Int { inputs[1].elementCount }
    private var positionCount: Int { output.elementCount / gateCount }

    func forward() -> [NativeOperation] {
        [
            NativeOperation("multiply", byteCount: 2 * output.byteCount + inputs[1].byteCount) {
                [unowned self] tile in
                convoy_lanes_multiply(
                    inputs[0].at(tile), inputs[1].at(tile), output.at(tile), gateCount,
                    positionCount)
            }
        ]
    }

    func backward(_ gradients: inout NativeGradients) -> [NativeOperation] {
        let outputGradient = gradients.output
        // The kernel computes both gradients, also one that is not wanted.
        let first = gradients.input(0) ?? gradients.spare(inputs[0].elementCount)
        let second = gradients.input(1) ?? gradients.spare(inputs[1].elementCount)
        return [
            NativeOperation("multiply", byteCount: 3 * output.byteCount) {
                [unowned self] tile in
                convoy_lanes_multiply_backward(
                    outputGradient.at(tile), inputs[0].at(tile), inputs[1].at(tile),
                    first.at(tile), second.at(tile), gateCount, positionCount)
            }
        ]
    }
}

/// The channels of several tensors one after another, with zeros before, between or after them.
final class NativeConcat: NativeStage {
    let node: Node
    let changesOutputGradient = false
    private let inputs: [LaneTensor]
    private let output: LaneTensor
    /// The number of floats of a tile's output before each input.
    private let places: [Int]

    /// Creates the stage.
    ///
    /// - Parameter places: the number of elements of the output before each input.
    init(_ node: Node, inputs: [LaneTensor], output: LaneTensor, places: [Int]) {
        self.node = node
        self.inputs = inputs
        self.output = output
        self.places = places.map { $0 * AlignedBuffer.lanes }
    }

    func forward() -> [NativeOperation] {
        [
            NativeOperation(node.specification.kind, byteCount: 2 * output.byteCount) {
                [unowned self] tile in
                // What no input covers is zero from the start.
                for (input, place) in zip(inputs, places) {
                    (output.at(tile) + place).update(from: input.at(tile), count: input.floatCount)
                }
            }
        ]
    }

    func backward(_ gradients: inout NativeGradients) -> [NativeOperation] {
        let outputGradient = gradients.output
        let parts = inputs.indices.compactMap { input in
            gradients.input(input).map { ($0, places[input]) }
        }
        if parts.isEmpty { return [] }
        return [
            NativeOperation(node.specification.kind, byteCount: 2 * output.byteCount) { tile in
                for (part, place) in parts {
                    part.at(tile).update(
                        from: outputGradient.at(tile) + place, count: part.floatCount)
                }
            }
        ]
    }
}
