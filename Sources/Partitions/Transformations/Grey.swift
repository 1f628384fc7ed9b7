import CKernels

/// Replaces colours by their grey level, as PIL's `convert("L")` does:
/// (19595 R + 38470 G + 7471 B + 32768) >> 16.
///
/// The image keeps three equal channels, or has one with `channels: 1`. An image of one channel is
/// grey already; it gets three equal channels, or stays as it is.
struct Grey: ImageTransformation {
    static let name = "grey"
    static let summary = """
        Replaces colours by their grey level, as PIL does, in three equal channels or in one.
        """
    static let parameters = [
        TransformationParameter("channels", .whole(1...3), default: .whole(3))
    ]
    static let elements = TransformationElements.bytes
    static let isRandom = false

    let channels: Int

    init(_ values: TransformationValues) { channels = values.whole("channels") }

    func outputShape(of shape: [Int]) throws(DataError) -> [Int] {
        guard channels != 2 else {
            throw Self.unfit("channels", expected: "1 or 3", found: "2")
        }
        guard shape[0] == 1 || shape[0] == 3 else {
            throw Self.unfit("channels of the image", expected: "1 or 3", found: "\(shape[0])")
        }
        return [channels, shape[1], shape[2]]
    }

    func apply(to image: inout Canvas<UInt8>, _ key: RecordKey?) {
        let area = image.area
        if image.channels == 3 {
            convoy_bytes_grey(
                image.spare, image.pixels, image.pixels + area, image.pixels + 2 * area, area)
        } else {
            image.spare.update(from: image.pixels, count: area)
        }
        for channel in 1..<max(2, channels) where channel < channels {
            (image.spare + channel * area).update(from: image.spare, count: area)
        }
        image.swap(channels: channels, height: image.height, width: image.width)
    }
}
