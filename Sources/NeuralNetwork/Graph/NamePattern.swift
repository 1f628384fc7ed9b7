/// A pattern for names of tensors, as a shell has them: `*` stands for any characters, also none,
/// and `?` for one. Dots are characters like others.
public struct NamePattern: Sendable, Hashable, CustomStringConvertible {
    /// The pattern as it is written.
    public let text: String

    /// Creates a pattern.
    public init(_ text: String) { self.text = text }

    /// The pattern as it is written.
    public var description: String { text }

    /// Returns whether the pattern stands for a name.
    public func matches(_ name: String) -> Bool {
        let (pattern, name) = (Array(text.utf8), Array(name.utf8))
        var (at, here) = (0, 0)
        // The last star, and the first byte of the name that it does not stand for yet.
        var star: (at: Int, here: Int)?
        while here < name.count {
            if at < pattern.count, pattern[at] == UInt8(ascii: "*") {
                star = (at, here)
                at += 1
            } else if at < pattern.count,
                pattern[at] == UInt8(ascii: "?") || pattern[at] == name[here]
            {
                at += 1
                here += 1
            } else if let last = star {
                star = (last.at, last.here + 1)
                (at, here) = (last.at + 1, last.here + 1)
            } else {
                return false
            }
        }
        return pattern[at...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
