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
public struct Generation: WholeNumber {
    /// Every decoded generation is below this number.
    public static let decodingLimit = 1 << 48

    /// The number, from 0.
    public var value: Int

    /// Creates the generation with this number.
    @inlinable
    public init(_ value: Int) { self.value = value }
}

/// A number of optimizer updates: step *t* turns the weights of version *t* into version *t + 1*.
///
/// The same number therefore names a step and the weights from which the step starts.
public struct Step: WholeNumber {
    /// Every decoded step is below this number.
    public static let decodingLimit = 1 << 48

    /// The number, from 0.
    public var value: Int

    /// Creates the step with this number.
    @inlinable
    public init(_ value: Int) { self.value = value }
}

/// The number of a virtual worker, which computes one microbatch of each step.
///
/// Its gradient is a leaf of the reduction tree.
public struct VirtualWorkerIndex: WholeNumber {
    /// Every decoded index is below this number.
    public static let decodingLimit = ReductionTree.maximumLeafCount

    /// The number, from 0.
    public var value: Int

    /// Creates the index with this number.
    @inlinable
    public init(_ value: Int) { self.value = value }
}

/// The number of a shard, which owns one slice of the flat parameter vector.
public struct ShardIndex: WholeNumber {
    /// Every decoded index is below this number.
    public static let decodingLimit = 1 << 16

    /// The number, from 0.
    public var value: Int

    /// Creates the index with this number.
    @inlinable
    public init(_ value: Int) { self.value = value }
}

/// The number of a chunk in the slice plan: a stretch of a shard's parameters that travels as one
/// message.
///
/// The chunks of all shards are numbered through, in the order of the flat parameter vector.
public struct ChunkIndex: WholeNumber {
    /// Every decoded index is below this number.
    public static let decodingLimit = 1 << 32

    /// The number, from 0.
    public var value: Int

    /// Creates the index with this number.
    @inlinable
    public init(_ value: Int) { self.value = value }
}

/// The number of a placement of the shards on hosts: it rises by one each time the coordinator puts
/// the shards back to a checkpoint.
public struct Placement: WholeNumber {
    /// Every decoded placement is below this number.
    public static let decodingLimit = 1 << 32

    /// The number, from 0.
    public var value: Int

    /// Creates the placement with this number.
    @inlinable
    public init(_ value: Int) { self.value = value }
}

/// The number of an evaluation chunk: a stretch of the test records that one compute thread
/// evaluates.
public struct EvaluationChunkIndex: WholeNumber {
    /// Every decoded index is below this number.
    public static let decodingLimit = 1 << 48

    /// The number, from 0.
    public var value: Int

    /// Creates the index with this number.
    @inlinable
    public init(_ value: Int) { self.value = value }
}

/// A time on one host's own clock, since an arbitrary origin. The state machines of this module never
/// read a clock: their callers pass the time in.
public typealias Moment = Duration
