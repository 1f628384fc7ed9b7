/// A number with a type of its own, so that the compiler tells apart what the numbers stand for.
///
/// Its JSON is the plain number. Ranges of it can be iterated: `ChunkIndex(0)..<ChunkIndex(3)` has
/// three elements.
public protocol WholeNumber: Hashable, Strideable, Codable, Sendable, CustomStringConvertible
where Stride == Int {
    /// Every decoded number is below this one. The bound keeps a number from outside from overflowing a
    /// later sum.
    static var decodingLimit: Int { get }

    /// The number, from 0.
    var value: Int { get set }

    /// Creates the number, which is not checked.
    init(_ value: Int)
}

extension WholeNumber {
    /// Decodes the plain number.
    ///
    /// - Throws: `DecodingError` when the number is negative, or `decodingLimit` and above.
    public init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer().decode(Int.self)
        guard (0..<Self.decodingLimit).contains(value) else {
            throw DecodingError.dataCorrupted(
                .init(
                    codingPath: decoder.codingPath,
                    debugDescription:
                        "expected a whole number below \(Self.decodingLimit), found \(value)"))
        }
        self.init(value)
    }

    /// Encodes the plain number.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(value)
    }

    /// The number after this one.
    @inlinable
    public var next: Self { Self(value + 1) }

    /// The number as text.
    public var description: String { "\(value)" }

    /// Returns the number that is higher than this one by `distance`.
    @inlinable
    public func advanced(by distance: Int) -> Self { Self(value + distance) }

    /// Returns by how much another number is higher than this one.
    @inlinable
    public func distance(to other: Self) -> Int { other.value - value }

    /// Returns whether two numbers are equal.
    @inlinable
    public static func == (left: Self, right: Self) -> Bool { left.value == right.value }

    /// Returns whether the first number is lower than the second one.
    @inlinable
    public static func < (left: Self, right: Self) -> Bool { left.value < right.value }
}
