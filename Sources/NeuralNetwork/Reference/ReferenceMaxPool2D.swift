/// The largest value under each window of one image; cells outside the image do not take part.
///
/// Shapes: in [C, H, W], out [C, H', W']. The gradient goes to the first largest cell in row-major
/// order within the window, as in PyTorch.
struct ReferenceMaxPool2D<Scalar: ReferenceScalar> {
    let channels: Int
    let height: Int
    let width: Int
    let outputHeight: Int
    let outputWidth: Int
    let size: Size2D
    let stride: Size2D
    let padding: PaddingAmounts

    func forward(_ input: UnsafePointer<Scalar>, into output: UnsafeMutablePointer<Scalar>) {
        forEachWindow(input) { position, best in output[position] = input[best] }
    }

    func backward(
        _ input: UnsafePointer<Scalar>, outputGradient: UnsafePointer<Scalar>,
        inputGradient: UnsafeMutablePointer<Scalar>
    ) {
        inputGradient.update(repeating: 0, count: channels * height * width)
        forEachWindow(input) { position, best in
            inputGradient[best] += outputGradient[position]
        }
    }

    /// Calls `body` with the index of each output and the index of the first largest cell of its
    /// window.
    @inline(__always)
    private func forEachWindow(_ input: UnsafePointer<Scalar>, _ body: (Int, Int) -> Void) {
        for channel in 0..<channels {
            for y in 0..<outputHeight {
                let top = y * stride.height - padding.top
                let rows = max(top, 0)..<min(top + size.height, height)
                for x in 0..<outputWidth {
                    let left = x * stride.width - padding.left
                    let columns = max(left, 0)..<min(left + size.width, width)
                    var best = (channel * height + rows.lowerBound) * width + columns.lowerBound
                    for row in rows {
                        for column in columns {
                            let cell = (channel * height + row) * width + column
                            if input[cell] > input[best] { best = cell }
                        }
                    }
                    body((channel * outputHeight + y) * outputWidth + x, best)
                }
            }
        }
    }
}
