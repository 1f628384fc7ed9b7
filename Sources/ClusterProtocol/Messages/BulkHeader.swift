/// The kind of a bulk message.
public enum BulkKind: UInt8, Sendable, CaseIterable {
    /// Worker to shard: the gradient sum of one tree node over one chunk.
    case contribution = 1
    /// Shard to worker: one chunk of the weights at a version.
    case weights = 2
    /// Worker to shard: a subscription to the weights of all chunks of the shard, from a version
    /// on. Shard to coordinator: a request for the state of all chunks at a step.
    case fetch = 3
    /// Coordinator to shard, or back: one part of a chunk's state (the weights, then each optimizer
    /// state in order).
    case state = 4
    /// Worker to shard or relay: the end of all subscriptions.
    case unsubscribe = 5
    /// Worker to shard: the question which contributions to a step are missing. The worker has done
    /// its own share of the step.
    case inquiry = 6
    /// Shard to worker: the virtual workers of a step whose contributions are missing.
    case missing = 7
    /// Worker to relay: a contribution that the relay adds to those of its neighbours and sends on.
    case combine = 8
    /// Worker to relay: a subscription to the weights of one chunk, from a version on.
    case follow = 9
    /// Worker to shard: a subscription to the weights of one chunk, from a version on.
    case fetchChunk = 10
    /// Shard host to shard host: the sums of squares of the blocks of one shard's part of a step's
    /// gradient.
    case squares = 11
    /// Shard host to shard host: the question for such sums. The shard is one of the host that
    /// asks.
    case fetchSquares = 12
}

/// The encoding of a payload.
public enum PayloadType: UInt8, Sendable, CaseIterable {
    /// There is no payload.
    case none = 0
    /// IEEE 754 single precision, little-endian.
    case float32 = 1
    /// UInt32, little-endian.
    case indices = 2
    /// A `SharedPayload`: the place of `float32` elements in memory that both processes can read.
    case sharedFloat32 = 3
    /// The upper half of a `float32`, rounded to nearest even.
    case bfloat16 = 4
    /// A `SharedPayload` of `bfloat16` elements.
    case sharedBFloat16 = 5
    /// A `Neighbour`: how a process of the same host can be told of memory.
    case neighbour = 6
    /// IEEE 754 double precision, little-endian.
    case float64 = 7

    /// Whether the payload says where the elements lie.
    public var isShared: Bool { self == .sharedFloat32 || self == .sharedBFloat16 }

    /// The length of a payload in bytes is a multiple of this number.
    public var unitByteCount: Int {
        switch self {
        case .none: 1
        case .float32, .indices: 4
        case .bfloat16: 2
        case .sharedFloat32, .sharedBFloat16: SharedPayload.byteCount
        case .neighbour: Neighbour.byteCount
        case .float64: 8
        }
    }
}

/// The first frame of every bulk message: 72 bytes, little-endian. Each field has one meaning in all
/// kinds of messages.
///
/// | offset | field | | offset | field |
/// |---|---|---|---|---|
/// | 0 | magic `CVOY` | | 28 | sample count, UInt32 |
/// | 4 | version, UInt16 | | 32 | loss sum, Float64 |
/// | 6 | kind, UInt8 | | 40 | record digest, UInt64 |
/// | 7 | payload type, UInt8 | | 48 | correct count, UInt32 |
/// | 8 | step, UInt64 | | 52 | placement, UInt32 |
/// | 16 | chunk, UInt32 | | 56 | payload byte count, UInt64 |
/// | 20 | node level, UInt8 | | 64 | weight sum, Float64 |
/// | 21 | part, UInt8 | | | |
/// | 22 | shard, UInt16 | | | |
/// | 24 | node index, UInt32 | | | |
public struct BulkHeader: Hashable, Sendable {
    /// The length of a header in bytes.
    public static let byteCount = 72
    /// The first four bytes of a header, `CVOY`, as a little-endian number.
    public static let magic: UInt32 = 0x594F_5643
    /// The version of the bulk protocol.
    public static let version: UInt16 = 2

    /// The kind of the message.
    public var kind: BulkKind
    /// The encoding of the payload.
    public var payloadType = PayloadType.none
    /// The step that the message is about; for weights and state, their version.
    public var step: Step
    /// The shard that the message is about.
    public var shard: ShardIndex
    /// The number of the chunk in the slice plan.
    public var chunk = ChunkIndex(0)
    /// The part of a chunk's state: 0 for the weights, then each optimizer state in order.
    public var part = 0
    /// The tree node of a contribution.
    public var node = TreeNode.leaf(VirtualWorkerIndex(0))
    /// The figures that are added along with a contribution.
    public var totals = ContributionTotals()
    /// The placement of the shards that a contribution, weights or state belong to.
    public var placement = Placement(0)
    /// The length of the payload frame in bytes; 0 without a payload.
    public var payloadByteCount = 0

    /// Creates a header whose other fields are 0.
    public init(kind: BulkKind, step: Step, shard: ShardIndex) {
        self.kind = kind
        self.step = step
        self.shard = shard
    }

    /// The reason why bytes are not a bulk header: the field that is wrong, or `field` when a
    /// number is out of range.
    public enum Flaw: String, Error, Hashable, Sendable {
        case size, magic, version, kind, payloadType, field
    }

    /// The encoded header. Each field must fit its width.
    public var bytes: [UInt8] {
        var writer = LittleEndianWriter(capacity: Self.byteCount)
        writer.append(Self.magic)
        writer.append(Self.version)
        writer.append(kind.rawValue)
        writer.append(payloadType.rawValue)
        writer.append(UInt64(step.value))
        writer.append(UInt32(chunk.value))
        writer.append(UInt8(node.level))
        writer.append(UInt8(part))
        writer.append(UInt16(shard.value))
        writer.append(UInt32(node.index))
        writer.append(UInt32(totals.sampleCount))
        writer.append(totals.lossSum.bitPattern)
        writer.append(totals.recordDigest)
        writer.append(UInt32(totals.correctCount))
        writer.append(UInt32(placement.value))
        writer.append(UInt64(payloadByteCount))
        writer.append(totals.weightSum.bitPattern)
        return writer.bytes
    }

    /// Creates a header from bytes that came from another process. Foreign bytes are refused and
    /// never trap.
    ///
    /// - Throws: the first `Flaw` found.
    public init(bytes: UnsafeRawBufferPointer) throws(Flaw) {
        guard bytes.count == Self.byteCount else { throw .size }
        var reader = LittleEndianReader(bytes)
        guard reader.next(UInt32.self) == Self.magic else { throw .magic }
        guard reader.next(UInt16.self) == Self.version else { throw .version }
        guard let kind = BulkKind(rawValue: reader.next(UInt8.self)) else { throw .kind }
        guard let type = PayloadType(rawValue: reader.next(UInt8.self)) else { throw .payloadType }
        guard let step = Int(exactly: reader.next(UInt64.self)), step < 1 << 48 else {
            throw .field
        }
        let chunk = ChunkIndex(Int(reader.next(UInt32.self)))
        let level = Int(reader.next(UInt8.self))
        let part = Int(reader.next(UInt8.self))
        let shard = ShardIndex(Int(reader.next(UInt16.self)))
        let node = TreeNode(level: level, index: Int(reader.next(UInt32.self)))
        guard level < 32 else { throw .field }
        var totals = ContributionTotals()
        totals.sampleCount = Int(reader.next(UInt32.self))
        totals.lossSum = Double(bitPattern: reader.next(UInt64.self))
        totals.recordDigest = reader.next(UInt64.self)
        totals.correctCount = Int(reader.next(UInt32.self))
        let placement = Placement(Int(reader.next(UInt32.self)))
        guard let payload = Int(exactly: reader.next(UInt64.self)) else { throw .field }
        totals.weightSum = Double(bitPattern: reader.next(UInt64.self))
        self.init(kind: kind, step: Step(step), shard: shard)
        payloadType = type
        self.chunk = chunk
        self.part = part
        self.node = node
        self.totals = totals
        self.placement = placement
        payloadByteCount = payload
    }
}

/// Encodes integers one after the other, little-endian.
struct LittleEndianWriter {
    private(set) var bytes: [UInt8] = []

    init(capacity: Int) { bytes.reserveCapacity(capacity) }

    mutating func append<Value: FixedWidthInteger>(_ value: Value) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }
}

/// Decodes integers one after the other, little-endian. The caller makes sure that there are enough
/// bytes.
struct LittleEndianReader {
    private let bytes: UnsafeRawBufferPointer
    private var offset = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    mutating func next<Value: FixedWidthInteger>(_ type: Value.Type) -> Value {
        defer { offset += MemoryLayout<Value>.size }
        return Value(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: type))
    }
}
