import StrictYAML

/// The height and the width of a kernel, a window or a stride, in cells.
public struct Size2D: Sendable, Hashable {
    /// The number of rows.
    public var height: Int
    /// The number of columns.
    public var width: Int

    /// Creates a size of the given height and width.
    public init(height: Int, width: Int) {
        self.height = height
        self.width = width
    }

    /// Creates a square.
    public init(_ side: Int) { self.init(height: side, width: side) }

    /// The size as a model file gives it: [height, width].
    var yaml: String { "[\(height), \(width)]" }

    /// Reads a height and a width: `[3, 5]`, or `3` for a square.
    init(reading value: StrictValue) throws(SettingsError) {
        guard value.isList else {
            self.init(try value.integer(in: 1...4096))
            return
        }
        let sides = try value.list()
        if sides.count != 2 { throw value.expected("a whole number or [height, width]") }
        self.init(
            height: try sides[0].integer(in: 1...4096), width: try sides[1].integer(in: 1...4096))
    }
}

/// The rows and columns that are added around an image before a kernel or a window moves over it.
public struct PaddingAmounts: Sendable, Hashable {
    /// The number of rows above the image.
    public var top: Int
    /// The number of columns left of the image.
    public var left: Int
    /// The number of rows below the image.
    public var bottom: Int
    /// The number of columns right of the image.
    public var right: Int

    /// No padding.
    public static let none = PaddingAmounts(top: 0, left: 0, bottom: 0, right: 0)

    /// Creates padding of the given amounts.
    public init(top: Int, left: Int, bottom: Int, right: Int) {
        self.top = top
        self.left = left
        self.bottom = bottom
        self.right = right
    }
}

/// The treatment of an image's edge by a kernel or a window.
///
/// Convolutions read zeros in the padding. Maximum pools ignore it. Mean pools count it as zeros,
/// unless they are told to ignore it.
public enum Padding: Sendable, Hashable {
    /// Adds no padding.
    case valid
    /// Adds as many cells as give ceil(input / stride) outputs; an odd cell goes to the bottom or
    /// the right. Source: Keras and TensorFlow. PyTorch's padding is symmetric, so it agrees only
    /// where the number of cells is even.
    case same
    /// Adds a given number of cells on each side, as PyTorch does.
    case explicit(PaddingAmounts)

    /// Returns padding of the same number of cells on each side.
    public static func cells(_ count: Int) -> Padding {
        .explicit(PaddingAmounts(top: count, left: count, bottom: count, right: count))
    }

    /// The padding as a model file gives it.
    var yaml: String {
        switch self {
        case .valid: "valid"
        case .same: "same"
        case .explicit(let cells):
            "[\(cells.top), \(cells.left), \(cells.bottom), \(cells.right)]"
        }
    }

    /// Reads `valid`, `same`, a number of cells, or [top, left, bottom, right].
    init(reading value: StrictValue?) throws(SettingsError) {
        guard let value else {
            self = .valid
            return
        }
        if value.isList {
            let cells = try value.list()
            if cells.count != 4 { throw value.expected("[top, left, bottom, right]") }
            var read: [Int] = []
            for cell in cells { read.append(try cell.integer(in: 0...4096)) }
            self = .explicit(
                PaddingAmounts(top: read[0], left: read[1], bottom: read[2], right: read[3]))
            return
        }
        switch try value.string() {
        case "valid": self = .valid
        case "same": self = .same
        case let text:
            guard let cells = Int(text), (0...4096).contains(cells) else {
                throw value.expected(
                    "valid, same, a number of cells or [top, left, bottom, right]")
            }
            self = .cells(cells)
        }
    }
}

/// A kernel or a window that moves over an image.
package struct MovingWindow: Hashable, Sendable {
    package var size: Size2D
    package var stride: Size2D
    var padding: Padding
    /// The distance between neighbouring cells of a kernel, 1 where they are adjacent.
    package var dilation = Size2D(1)

    /// The largest number of elements of an image with its padding. It keeps the places of eight
    /// images side by side within 32 bits, and their memory within 2 GiB.
    private static let maximumPaddedCount = 1 << 26

    /// Returns the output's height and width, and the padding on each side.
    ///
    /// - Parameter noun: the word for the window in messages.
    func plan(
        _ shape: [Int], noun: String
    ) throws(LayerProblem) -> (output: Size2D, padding: PaddingAmounts) {
        for (what, value) in [(noun, size), ("stride", stride), ("dilation", dilation)] {
            let sides = [value.height, value.width]
            try LayerProblem.require(
                sides.allSatisfy { (1...4096).contains($0) },
                "expects a \(what) with sides from 1 to 4096, gets \(sides)")
        }
        let (_, height, width) = try LayerProblem.image(shape)
        let reach = Size2D(
            height: (size.height - 1) * dilation.height + 1,
            width: (size.width - 1) * dilation.width + 1)
        var cells = PaddingAmounts.none
        switch padding {
        case .valid: break
        case .explicit(let given):
            let sides = [given.top, given.left, given.bottom, given.right]
            try LayerProblem.require(
                sides.allSatisfy { (0...4096).contains($0) },
                "expects padding with sides from 0 to 4096, gets \(sides)")
            cells = given
        case .same:
            func missing(_ extent: Int, _ stride: Int, _ reach: Int) -> Int {
                max(((extent + stride - 1) / stride - 1) * stride + reach - extent, 0)
            }
            let rows = missing(height, stride.height, reach.height)
            let columns = missing(width, stride.width, reach.width)
            cells = PaddingAmounts(
                top: rows / 2, left: columns / 2, bottom: rows - rows / 2,
                right: columns - columns / 2)
        }
        let padded = Size2D(
            height: height + cells.top + cells.bottom, width: width + cells.left + cells.right)
        try LayerProblem.require(
            reach.height <= padded.height && reach.width <= padded.width,
            "its \(noun) of [\(reach.height), \(reach.width)] does not fit into \(shape); "
                + "make it smaller or pad with same")
        let cellCount = NetworkBuilder.product([shape[0], padded.height, padded.width])
        try LayerProblem.require(
            (cellCount ?? .max) <= Self.maximumPaddedCount,
            "its padded input of [\(shape[0]), \(padded.height), \(padded.width)] is larger than "
                + "\(Self.maximumPaddedCount) elements")
        return (
            Size2D(
                height: (padded.height - reach.height) / stride.height + 1,
                width: (padded.width - reach.width) / stride.width + 1), cells
        )
    }
}
