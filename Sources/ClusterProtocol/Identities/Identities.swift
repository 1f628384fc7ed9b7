/// The name of one process for as long as it lives; a process that restarts takes a new name.
///
/// It is also the routing identity of the process's sockets, for instance `worker-2f81c09b55ab3d10`.
public struct PeerIdentity: RawRepresentable, Hashable, Comparable, Codable, Sendable,
    CustomStringConvertible
{
    /// The length of the longest accepted name, in UTF-8 bytes; zmq_setsockopt(3) allows a routing
    /// identity of up to 255 bytes.
    public static let maximumByteCount = 64

    /// The name as text.
    public let rawValue: String

    /// Creates an identity from its text, which is not checked.
    public init(rawValue: String) { self.rawValue = rawValue }

    /// Creates the identity of a new process from its role and a random number.
    public init(role: Role, random: UInt64) {
        let digits = String(random, radix: 16)
        rawValue = "\(role.rawValue)-" + String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// Decodes the text of an identity.
    ///
    /// - Throws: `DecodingError` when the text is empty or longer than `maximumByteCount`.
    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard (1...Self.maximumByteCount).contains(text.utf8.count) else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "identity length"))
        }
        rawValue = text
    }

    /// Encodes the identity as its text.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }

    /// The name as text.
    public var description: String { rawValue }

    /// Returns whether the first name sorts before the second one.
    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// The part that a process plays in a cluster.
public enum Role: String, Codable, Sendable, CaseIterable {
    case coordinator, worker, server
}

/// The number of a membership: it rises by one each time the coordinator assigns virtual workers.
public struct Generation: Hashable, Comparable, Codable, Sendable, CustomStringConvertible {
    /// The number, from 0.
    public var value: Int

    /// Creates the generation with this number.
    public init(_ value: Int) { self.value = value }

    /// Decodes a generation from its number.
    ///
    /// - Throws: `DecodingError` when the number is negative or 2^48 and above.
    public init(from decoder: any Decoder) throws {
        value = try decoder.wholeNumber(below: 1 << 48)
    }

    /// Encodes the generation as its number.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(value)
    }

    /// The generation after this one.
    public var next: Generation { Generation(value + 1) }
    /// The number as text.
    public var description: String { "\(value)" }
    /// Returns whether the first generation is earlier than the second one.
    public static func < (left: Self, right: Self) -> Bool { left.value < right.value }
}

/// The number of a shard, which owns one slice of the flat parameter vector.
public struct ShardIndex: Hashable, Comparable, Codable, Sendable, CustomStringConvertible {
    /// The number, from 0.
    public var value: Int

    /// Creates the index with this number.
    public init(_ value: Int) { self.value = value }

    /// Decodes an index from its number.
    ///
    /// - Throws: `DecodingError` when the number is negative or 2^16 and above.
    public init(from decoder: any Decoder) throws {
        value = try decoder.wholeNumber(below: 1 << 16)
    }

    /// Encodes the index as its number.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(value)
    }

    /// The number as text.
    public var description: String { "\(value)" }
    /// Returns whether the first index is lower than the second one.
    public static func < (left: Self, right: Self) -> Bool { left.value < right.value }
}

/// A number of optimizer updates: step *t* turns the weights of version *t* into version *t + 1*.
///
/// The same number therefore names a step and the weights from which the step starts.
public struct Step: Hashable, Comparable, Codable, Sendable, CustomStringConvertible {
    /// The number, from 0.
    public var value: Int

    /// Creates the step with this number.
    public init(_ value: Int) { self.value = value }

    /// Decodes a step from its number.
    ///
    /// - Throws: `DecodingError` when the number is negative or 2^48 and above.
    public init(from decoder: any Decoder) throws {
        value = try decoder.wholeNumber(below: 1 << 48)
    }

    /// Encodes the step as its number.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(value)
    }

    /// The step after this one.
    public var next: Step { Step(value + 1) }
    /// The number as text.
    public var description: String { "\(value)" }
    /// Returns whether the first step is earlier than the second one.
    public static func < (left: Self, right: Self) -> Bool { left.value < right.value }
}

/// A time on one host's own clock, since an arbitrary origin. The state machines of this module never
/// read a clock: their callers pass the time in.
public typealias Moment = Duration

extension Decoder {
    /// Decodes a number from 0 to `limit` - 1. The bound keeps a number from outside from overflowing a
    /// later sum.
    fileprivate func wholeNumber(below limit: Int) throws -> Int {
        let value = try singleValueContainer().decode(Int.self)
        guard (0..<limit).contains(value) else {
            throw DecodingError.dataCorrupted(
                .init(
                    codingPath: codingPath,
                    debugDescription: "expected a whole number below \(limit), found \(value)"))
        }
        return value
    }
}
