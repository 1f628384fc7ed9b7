import CKernels

/// One image, and memory for another one of any size that the image has on its way through a list
/// of transformations.
///
/// Shapes: `pixels` and `spare` hold [channels, height, width], row-major.
struct Canvas<Element> {
    /// The image.
    private(set) var pixels: UnsafeMutablePointer<Element>
    /// Memory for what is computed from the image.
    private(set) var spare: UnsafeMutablePointer<Element>
    /// What resizes an image of bytes; nil for an image of floats.
    let resizer: PictureResizer?
    private(set) var channels: Int
    private(set) var height: Int
    private(set) var width: Int

    init(
        pixels: UnsafeMutablePointer<Element>, spare: UnsafeMutablePointer<Element>,
        resizer: PictureResizer? = nil, channels: Int = 0, height: Int = 0, width: Int = 0
    ) {
        self.resizer = resizer
        self.pixels = pixels
        self.spare = spare
        self.channels = channels
        self.height = height
        self.width = width
    }

    /// The number of pixels in a channel.
    var area: Int { height * width }
    /// The number of elements.
    var count: Int { channels * area }

    /// Makes what was written to `spare` the image.
    mutating func swap() { (pixels, spare) = (spare, pixels) }

    /// Gives the image another shape.
    mutating func reshape(channels: Int, height: Int, width: Int) {
        (self.channels, self.height, self.width) = (channels, height, width)
    }

    /// Makes what was written to `spare` the image, in a new shape.
    mutating func swap(channels: Int, height: Int, width: Int) {
        swap()
        reshape(channels: channels, height: height, width: width)
    }

    /// Sets each pixel [c, y, x] to the pixel [c, y + down, x + right], or to `zero` outside the
    /// image.
    mutating func shift(down: Int, right: Int, zero: Element) {
        if down == 0 && right == 0 { return }
        let kept = max(0, width - abs(right))
        let from = right >= 0 ? width - kept : 0
        let to = right >= 0 ? 0 : width - kept
        for channel in 0..<channels {
            for y in 0..<height {
                let row = spare + (channel * height + y) * width
                guard y + down >= 0, y + down < height else {
                    row.update(repeating: zero, count: width)
                    continue
                }
                let source = pixels + (channel * height + y + down) * width
                (row + to).update(from: source + from, count: kept)
                (row + (right >= 0 ? kept : 0)).update(repeating: zero, count: width - kept)
            }
        }
        swap()
    }

    /// Swaps left and right.
    mutating func mirror() {
        for row in 0..<channels * height {
            let (source, target) = (pixels + row * width, spare + row * width)
            for x in 0..<width { target[x] = source[width - 1 - x] }
        }
        swap()
    }

    /// Swaps left and right of bytes.
    mutating func mirror() where Element == UInt8 {
        convoy_bytes_mirror(spare, pixels, channels * height, width)
        swap()
    }

    /// Swaps top and bottom.
    mutating func turnOver() {
        for channel in 0..<channels {
            for y in 0..<height {
                (spare + (channel * height + y) * width).update(
                    from: pixels + (channel * height + height - 1 - y) * width, count: width)
            }
        }
        swap()
    }

    /// Cuts out a part of the image, which must lie within it.
    mutating func cut(top: Int, left: Int, height newHeight: Int, width newWidth: Int) {
        if newHeight == height && newWidth == width { return }
        for channel in 0..<channels {
            for y in 0..<newHeight {
                (spare + (channel * newHeight + y) * newWidth).update(
                    from: pixels + (channel * height + top + y) * width + left, count: newWidth)
            }
        }
        swap(channels: channels, height: newHeight, width: newWidth)
    }

    /// Sets a part of the image, which must lie within it unless it is empty, to the same part of
    /// `source`, or to `zero` without a source.
    func fill(
        _ rows: Range<Int>, _ columns: Range<Int>, from source: UnsafePointer<Element>?,
        zero: Element
    ) {
        for channel in 0..<channels {
            for y in rows {
                let offset = (channel * height + y) * width + columns.lowerBound
                if let source {
                    (pixels + offset).update(from: source + offset, count: columns.count)
                } else {
                    (pixels + offset).update(repeating: zero, count: columns.count)
                }
            }
        }
    }
}
