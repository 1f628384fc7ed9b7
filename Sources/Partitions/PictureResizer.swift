import Pictures

extension PictureFilter {
    /// The parameter by which a transformation takes its filter.
    static let parameter = TransformationParameter(
        "filter", .word(allCases.map(\.rawValue)), default: .word(bilinear.rawValue))

    init(_ values: TransformationValues) {
        guard let filter = PictureFilter(rawValue: values.word("filter")) else {
            preconditionFailure("a filter that is none")
        }
        self = filter
    }
}

/// Resizes pictures of bytes, with the bytes of PIL's `crop` and then `resize`.
///
/// Threading: one thread at a time.
final class PictureResizer {
    /// The longest side of a picture.
    private static let longestSide = 65_535

    private let scratch = PictureScratch()

    /// Throws `badSetting` for an image with a side that is too long; `name` is the
    /// transformation's.
    static func check(_ shape: [Int], name: String) throws(DataError) {
        guard max(shape[1], shape[2]) <= longestSide else {
            throw DataError(
                .badSetting, file: name, what: "sides of the image",
                expected: "at most \(longestSide)", found: "[\(shape[1]), \(shape[2])]")
        }
    }

    /// Resizes a box of a picture of the given shape into `destination`.
    func resize(
        _ source: UnsafeMutablePointer<UInt8>, _ shape: (channels: Int, height: Int, width: Int),
        _ box: Pictures.Box, to size: PictureOptions.Size, _ filter: PictureFilter,
        into destination: UnsafeMutablePointer<UInt8>
    ) {
        do throws(PictureError) {
            try Pictures.resize(
                planar: UnsafeBufferPointer(
                    start: source, count: shape.channels * shape.height * shape.width),
                shape: shape, box: box, to: size, filter: filter,
                into: UnsafeMutableBufferPointer(
                    start: destination, count: shape.channels * size.height * size.width),
                scratch: scratch)
        } catch {
            // Sizes were checked when the pipeline was made, so that only memory can lack.
            preconditionFailure("\(shape) to \(size): \(error)")
        }
    }
}

extension Canvas where Element == UInt8 {
    /// Resizes a box of the image, or all of it.
    mutating func resize(
        _ box: Pictures.Box? = nil, height newHeight: Int, width newWidth: Int,
        _ filter: PictureFilter
    ) {
        let box = box ?? Pictures.Box(top: 0, left: 0, height: height, width: width)
        if box.height == newHeight && box.width == newWidth {
            return cut(top: box.top, left: box.left, height: newHeight, width: newWidth)
        }
        guard let resizer else { preconditionFailure("an image without a resizer") }
        resizer.resize(
            pixels, (channels, height, width), box,
            to: PictureOptions.Size(height: newHeight, width: newWidth), filter, into: spare)
        swap(channels: channels, height: newHeight, width: newWidth)
    }
}
