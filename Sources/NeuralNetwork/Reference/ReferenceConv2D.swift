/// A convolution of one image.
///
/// Math: out[o, y, x] = bias[o] + Σ over c, ky, kx of weight[o, c, ky, kx] ·
/// in[c, y·stride + ky - top, x·stride + kx - left], where cells outside the image are zero
/// (cross-correlation, as in PyTorch and Keras).
/// Shapes: in [C, H, W], weight [O, C, kh, kw], out [O, H', W'].
/// `forward` first lays out the cells under each kernel position as the rows of `patches` [C·kh·kw,
/// H'·W'] in the scratch memory. Both passes are then plain products of matrices.
struct ReferenceConv2D<Scalar: ReferenceScalar> {
    let channels: Int
    let height: Int
    let width: Int
    let filters: Int
    let outputHeight: Int
    let outputWidth: Int
    let kernel: Size2D
    let stride: Size2D
    let padding: PaddingAmounts
    /// The index of the weight's first element in the flat vector.
    let weightOffset: Int
    /// The index of the bias's first element in the flat vector.
    let biasOffset: Int

    private var patchLength: Int { channels * kernel.height * kernel.width }
    private var positionCount: Int { outputHeight * outputWidth }
    /// The elements of scratch memory: the patches, and as many elements for their gradients.
    var scratchCount: Int { 2 * patchLength * positionCount }

    func forward(
        _ input: UnsafePointer<Scalar>, parameters: UnsafePointer<Scalar>,
        into output: UnsafeMutablePointer<Scalar>, scratch patches: UnsafeMutablePointer<Scalar>
    ) {
        gather(input, into: patches)
        for filter in 0..<filters {
            let row = output + filter * positionCount
            row.update(repeating: parameters[biasOffset + filter], count: positionCount)
            let weight = parameters + weightOffset + filter * patchLength
            for k in 0..<patchLength {
                ReferenceLoops.addScaled(row, weight[k], patches + k * positionCount, positionCount)
            }
        }
    }

    /// Adds to `parameterGradient`, and overwrites `inputGradient` unless it is nil. Reads the
    /// patches that `forward` left in the scratch memory.
    func backward(
        outputGradient: UnsafePointer<Scalar>, parameters: UnsafePointer<Scalar>,
        parameterGradient: UnsafeMutablePointer<Scalar>,
        inputGradient: UnsafeMutablePointer<Scalar>?,
        scratch patches: UnsafeMutablePointer<Scalar>
    ) {
        for filter in 0..<filters {
            let row = outputGradient + filter * positionCount
            var sum: Scalar = 0
            for position in 0..<positionCount { sum += row[position] }
            parameterGradient[biasOffset + filter] += sum
            let weightGradient = parameterGradient + weightOffset + filter * patchLength
            for k in 0..<patchLength {
                weightGradient[k] += ReferenceLoops.dot(
                    row, patches + k * positionCount, positionCount)
            }
        }
        guard let inputGradient else { return }
        let patchGradient = patches + patchLength * positionCount
        patchGradient.update(repeating: 0, count: patchLength * positionCount)
        for filter in 0..<filters {
            let row = outputGradient + filter * positionCount
            let weight = parameters + weightOffset + filter * patchLength
            for k in 0..<patchLength {
                ReferenceLoops.addScaled(
                    patchGradient + k * positionCount, weight[k], row, positionCount)
            }
        }
        scatter(patchGradient, into: inputGradient)
    }

    /// Copies the cells under each kernel position to the patches, and zeros for cells outside the
    /// image.
    private func gather(
        _ input: UnsafePointer<Scalar>, into patches: UnsafeMutablePointer<Scalar>
    ) {
        patches.update(repeating: 0, count: patchLength * positionCount)
        forEachRow { patchRow, inputRow, count in
            let (out, cells) = (patches + patchRow, input + inputRow)
            for i in 0..<count { out[i] = cells[i &* stride.width] }
        }
    }

    /// Adds the gradient of each kernel position back to the cell that it was copied from: the
    /// reverse of `gather`.
    private func scatter(
        _ patchGradient: UnsafePointer<Scalar>, into inputGradient: UnsafeMutablePointer<Scalar>
    ) {
        inputGradient.update(repeating: 0, count: channels * height * width)
        forEachRow { patchRow, inputRow, count in
            let (cells, gradients) = (inputGradient + inputRow, patchGradient + patchRow)
            for i in 0..<count { cells[i &* stride.width] += gradients[i] }
        }
    }

    /// Calls `body` for each range of a patch row that lies inside the image. The arguments are the
    /// offset of its first element in the patches, the offset of that element in the image, and its
    /// length. Patches step by 1, the image by the stride.
    @inline(__always)
    private func forEachRow(_ body: (Int, Int, Int) -> Void) {
        for channel in 0..<channels {
            for ky in 0..<kernel.height {
                for kx in 0..<kernel.width {
                    let k = (channel * kernel.height + ky) * kernel.width + kx
                    // The output columns x with 0 <= x·stride + kx - left < width.
                    let first = max(0, (padding.left - kx + stride.width - 1) / stride.width)
                    let last = min(
                        outputWidth - 1, (width - 1 + padding.left - kx) / stride.width)
                    if padding.left + width - 1 < kx || first > last { continue }
                    for y in 0..<outputHeight {
                        let row = y * stride.height + ky - padding.top
                        guard row >= 0, row < height else { continue }
                        body(
                            k * positionCount + y * outputWidth + first,
                            (channel * height + row) * width + first * stride.width + kx
                                - padding.left,
                            last - first + 1)
                    }
                }
            }
        }
    }
}
