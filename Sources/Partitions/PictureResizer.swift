/// The way in which a picture's pixels are computed from those of a picture of another size.
enum PictureFilter: String, CaseIterable, Sendable {
    case nearest, box, bilinear, bicubic

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
    /// A part of a picture, in pixels.
    struct Box: Equatable {
        var top: Int
        var left: Int
        var height: Int
        var width: Int
    }

    /// Resizes a box of a picture.
    ///
    /// - Parameters:
    ///   - source: the picture, [channels, height, width].
    ///   - box: a part of the picture, of at least one pixel.
    ///   - destination: receives [channels, newHeight, newWidth].
    func resize(
        _ source: UnsafePointer<UInt8>, channels: Int, height: Int, width: Int, _ box: Box,
        height newHeight: Int, width newWidth: Int, _ filter: PictureFilter,
        into destination: UnsafeMutablePointer<UInt8>
    ) {
        for channel in 0..<channels {
            var plane: [UInt8] = []
            for y in 0..<box.height {
                let row = source + (channel * height + box.top + y) * width + box.left
                plane += UnsafeBufferPointer(start: row, count: box.width)
            }
            let rows = Self.rows(plane, height: box.height, width: box.width, newWidth, filter)
            let columns = Self.turned(rows, height: box.height, width: newWidth)
            let done = Self.turned(
                Self.rows(columns, height: newWidth, width: box.height, newHeight, filter),
                height: newWidth, width: newHeight)
            (destination + channel * newHeight * newWidth).update(from: done, count: done.count)
        }
    }

    private static func turned(_ plane: [UInt8], height: Int, width: Int) -> [UInt8] {
        (0..<width).flatMap { x in (0..<height).map { plane[$0 * width + x] } }
    }

    private static func weight(_ x: Double, _ filter: PictureFilter) -> Double {
        let distance = abs(x)
        switch filter {
        case .nearest: return 0
        case .box: return x > -0.5 && x <= 0.5 ? 1 : 0
        case .bilinear: return distance < 1 ? 1 - distance : 0
        case .bicubic:
            let a = -0.5
            if distance < 1 { return ((a + 2) * distance - (a + 3)) * distance * distance + 1 }
            return distance < 2
                ? (((distance - 5) * distance + 8) * distance - 4) * a : 0
        }
    }

    private static func rows(
        _ plane: [UInt8], height: Int, width: Int, _ newWidth: Int, _ filter: PictureFilter
    ) -> [UInt8] {
        if newWidth == width { return plane }
        let scale = Double(width) / Double(newWidth)
        var sources: [(start: Int, weights: [Int])] = []
        if filter == .nearest {
            var place = scale * 0.5
            for _ in 0..<newWidth {
                sources.append((Int(place), [1 << 22]))
                place += scale
            }
        } else {
            let support = filter == .box ? 0.5 : filter == .bilinear ? 1.0 : 2.0
            let stretch = max(1, scale)
            for x in 0..<newWidth {
                let center = (Double(x) + 0.5) * scale
                let start = max(0, Int(center - support * stretch + 0.5))
                let end = min(width, Int(center + support * stretch + 0.5))
                let shares = (start..<end).map {
                    weight((Double($0) - center + 0.5) * (1 / stretch), filter)
                }
                let sum = shares.reduce(0, +)
                sources.append(
                    (
                        start,
                        shares.map {
                            let share = (sum == 0 ? $0 : $0 / sum) * Double(1 << 22)
                            return Int(share < 0 ? share - 0.5 : share + 0.5)
                        }
                    ))
            }
        }
        return (0..<height).flatMap { y in
            sources.map { source in
                var sum = 1 << 21
                for (index, weight) in source.weights.enumerated() {
                    sum += weight * Int(plane[y * width + source.start + index])
                }
                return UInt8(max(0, min(255, sum >> 22)))
            }
        }
    }
}

extension Canvas where Element == UInt8 {
    /// Resizes a box of the image, or all of it.
    mutating func resize(
        _ box: PictureResizer.Box? = nil, height newHeight: Int, width newWidth: Int,
        _ filter: PictureFilter
    ) {
        let box = box ?? PictureResizer.Box(top: 0, left: 0, height: height, width: width)
        if box.height == newHeight && box.width == newWidth {
            return cut(top: box.top, left: box.left, height: newHeight, width: newWidth)
        }
        guard let resizer else { preconditionFailure("an image without a resizer") }
        resizer.resize(
            pixels, channels: channels, height: height, width: width, box, height: newHeight,
            width: newWidth, filter, into: spare)
        swap(channels: channels, height: newHeight, width: newWidth)
    }
}
