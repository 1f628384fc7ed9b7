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
