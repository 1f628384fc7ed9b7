import CKernels

/// A function of each element, where no stage before it computes the function too. Input and output
/// may be one tensor for a ReLU only.
final class NativeActivation: NativeStage {
    let node: Node
    private let input: LaneTensor
    private let output: LaneTensor
    private let kernel: convoy_activation?
    private let slope: Float

    init(_ node: Node, _ layer: any ElementwiseLayer, input: LaneTensor, output: LaneTensor) {
        self.node = node
        self.input = input
        self.output = output
        kernel = layer.kernel
        slope = layer.slope
        precondition(kernel == nil || input !== output, "the backward pass needs the input")
    }

    let changesOutputGradient = true
    let passesGradient = true
    private var kind: String { node.specification.kind }

    func forward() -> [NativeOperation] {
        [
            NativeOperation(kind, byteCount: input.byteCount + output.byteCount) {
                [unowned self] tile in
                if let kernel {
                    convoy_lanes_activate(
                        kernel, slope, input.at(tile), output.at(tile), output.floatCount)
                    return
                }
                if input !== output {
                    output.at(tile).update(from: input.at(tile), count: output.floatCount)
                }
                convoy_relu(output.at(tile), output.floatCount)
            }
        ]
    }

    func backward(_ gradients: inout NativeGradients) -> [NativeOperation] {
        let gradient = gradients.output
        gradients.pass()
        return [
            NativeOperation(kind, byteCount: 3 * output.byteCount) { [unowned self] tile in
                let values = gradient.at(tile)
                if let kernel {
                    convoy_lanes_activate_backward(
                        kernel, slope, input.at(tile), values, values, output.floatCount)
                } else {
                    convoy_relu_backward(values, output.at(tile), output.floatCount)
                }
            }
        ]
    }
}

/// Inverted dropout, with the masks of ``DropoutMask``. Input and output may be one tensor.
///
/// A layer before it that derives its ReLU's mask from its own output still finds zero where that
/// output was zero, or where the gradient is zero anyway.
final class NativeDropout: NativeStage {
    let node: Node
    private let input: LaneTensor
    private let output: LaneTensor
    private let rate: Double
    /// The masks as rows, [8, elements]. Rows beyond the tile's images are not read.
    private let rows: AlignedBuffer
    private let mask: LaneTensor

    init(
        _ node: Node, rate: Double, input: LaneTensor, output: LaneTensor, memory: NativeMemory
    ) {
        self.node = node
        self.rate = rate
        self.input = input
        self.output = output
        rows = memory.buffer(laneCount: node.inputElementCount)
        mask = memory.kept(node.inputElementCount)
    }

    let changesOutputGradient = true
    let passesGradient = true

    func forward() -> [NativeOperation] {
        [
            NativeOperation("dropout", byteCount: 5 * mask.byteCount) { [unowned self] tile in
                if input !== output {
                    output.at(tile).update(from: input.at(tile), count: output.floatCount)
                }
                guard let key = tile.dropout else { return }
                let count = mask.elementCount
                DropoutMask.fill(
                    rows.floats, count: count, rate: rate, key: key, layerIndex: node.index)
                convoy_lanes_from_rows(rows.floats, key.count, count, mask.at(tile))
                convoy_scale(output.at(tile), mask.at(tile), mask.floatCount)
            }
        ]
    }

    func backward(_ gradients: inout NativeGradients) -> [NativeOperation] {
        let gradient = gradients.output
        gradients.pass()
        return [
            NativeOperation("dropout", byteCount: 3 * mask.byteCount) { [unowned self] tile in
                guard tile.dropout != nil else { return }
                convoy_scale(gradient.at(tile), mask.at(tile), mask.floatCount)
            }
        ]
    }
}
