/// The padding of a convolution's input, and of that input's gradient.
///
/// Memory is taken only where there is padding; the padding's zeros stay from the beginning. One
/// tile is padded at a time.
final class LanePadding {
    private let input: LaneTensor
    private let channels: Int
    private let image: Size2D
    private let size: Size2D
    private let amounts: PaddingAmounts
    private let padded: AlignedBuffer?
    private let paddedGradient: AlignedBuffer?
    /// Whether other tiles were padded since the forward pass of a tile.
    private let padsAgain: Bool

    /// Creates the padding of a node's input.
    ///
    /// - Parameters:
    ///   - size: the height and width with padding.
    ///   - memory: the memory of the plan, in the segment of the node.
    init(
        _ node: Node, _ input: LaneTensor, size: Size2D, wantsInputGradient: Bool,
        memory: NativeMemory
    ) {
        self.input = input
        self.size = size
        channels = node.inputShape[0]
        image = Size2D(height: node.inputShape[1], width: node.inputShape[2])
        amounts = node.padding
        let isPadded = amounts != .none
        let count = channels * size.height * size.width
        padded = isPadded ? memory.buffer(laneCount: count) : nil
        paddedGradient = isPadded && wantsInputGradient ? memory.buffer(laneCount: count) : nil
        padsAgain = isPadded && memory.keepsTiles
    }

    /// The bytes of the input as the kernels read it.
    var byteCount: Int { padded?.byteCount ?? input.byteCount }

    /// Returns the input as the kernels of the forward pass read it.
    func forward(_ tile: NativeTile) -> UnsafeMutablePointer<Float> {
        guard let padded else { return input.at(tile) }
        let image = input.at(tile)
        forEachRow { inside, outside, count in
            (padded.floats + outside).update(from: image + inside, count: count)
        }
        return padded.floats
    }

    /// Returns the input of the same tile as the kernels of the backward pass read it.
    func again(_ tile: NativeTile) -> UnsafeMutablePointer<Float> {
        padsAgain ? forward(tile) : padded?.floats ?? input.at(tile)
    }

    /// Returns where kernels write the gradient of the padded input: `inputGradient` itself where
    /// there is no padding.
    func target(_ inputGradient: UnsafeMutablePointer<Float>) -> UnsafeMutablePointer<Float> {
        paddedGradient?.floats ?? inputGradient
    }

    /// Copies what kernels wrote to ``target(_:)`` to the gradient of the input.
    func finish(_ inputGradient: UnsafeMutablePointer<Float>) {
        guard let paddedGradient else { return }
        forEachRow { inside, outside, count in
            (inputGradient + inside).update(from: paddedGradient.floats + outside, count: count)
        }
    }

    /// Calls `body` with the place of each row in the image and in the padded image, and its
    /// length, in floats.
    private func forEachRow(_ body: (Int, Int, Int) -> Void) {
        let lanes = AlignedBuffer.lanes
        for channel in 0..<channels {
            for row in 0..<image.height {
                let y = channel * size.height + amounts.top + row
                body(
                    (channel * image.height + row) * image.width * lanes,
                    (y * size.width + amounts.left) * lanes, image.width * lanes)
            }
        }
    }
}
