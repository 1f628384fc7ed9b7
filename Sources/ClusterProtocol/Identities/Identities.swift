/// The name of one process for as long as it lives; a process that restarts takes a new one.
///
/// It is also the routing identity of the process's sockets, for instance `worker-2f81c09b55ab3d10`.
public struct PeerIdentity: RawRepresentable, Hashable, Comparable, Codable, Sendable,
    CustomStringConvertible
{
    /// Longest accepted name, in UTF-8 bytes: what ZeroMQ takes as a routing identity.
    public static let maximumByteCount = 64

    public let rawValue: String

    public init(rawValue: String) { self.rawValue = rawValue }

    public init(role: Role, random: UInt64) {
        let digits = String(random, radix: 16)
        rawValue = "\(role.rawValue)-" + String(repeating: "0", count: 16 - digits.count) + digits
    }

    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard (1...Self.maximumByteCount).contains(text.utf8.count) else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "identity length"))
        }
        rawValue = text
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }

    public var description: String { rawValue }

    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// What a process does in a cluster.
public enum Role: String, Codable, Sendable, CaseIterable {
    case coordinator, worker, server
}

/// Number of a membership: it rises by one with every assignment the coordinator sends.
public struct Generation: Hashable, Comparable, Codable, Sendable, CustomStringConvertible {
    public var value: Int

    public init(_ value: Int) { self.value = value }

    public init(from decoder: any Decoder) throws {
        value = try decoder.wholeNumber(below: 1 << 48)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(value)
    }

    public var next: Generation { Generation(value + 1) }
    public var description: String { "\(value)" }
    public static func < (left: Self, right: Self) -> Bool { left.value < right.value }
}

/// Which slice of the parameter vector.
public struct ShardIndex: Hashable, Comparable, Codable, Sendable, CustomStringConvertible {
    public var value: Int

    public init(_ value: Int) { self.value = value }

    public init(from decoder: any Decoder) throws {
        value = try decoder.wholeNumber(below: 1 << 16)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(value)
    }

    public var description: String { "\(value)" }
    public static func < (left: Self, right: Self) -> Bool { left.value < right.value }
}

/// A number of optimizer updates: step *t* turns the weights of version *t* into version *t + 1*.
///
/// The same number therefore names a step and the weights it starts from.
public struct Step: Hashable, Comparable, Codable, Sendable, CustomStringConvertible {
    public var value: Int

    public init(_ value: Int) { self.value = value }

    public init(from decoder: any Decoder) throws {
        value = try decoder.wholeNumber(below: 1 << 48)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(value)
    }

    public var next: Step { Step(value + 1) }
    public var description: String { "\(value)" }
    public static func < (left: Self, right: Self) -> Bool { left.value < right.value }
}

/// Time on a machine's own clock, since an origin of its choice. Machines never read a clock.
public typealias Moment = Duration

extension Decoder {
    /// A number from 0 to `limit` - 1; what comes from outside must not overflow a later sum.
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
