/// A worker's description of itself in a subscription. With it, a shard on the same host can read
/// the worker's memory, and can tell the worker where floats lie without a socket.
///
/// 24 bytes, little-endian: the host key (UInt64), then the pipe as process and descriptor (UInt32
/// each) and token (UInt64). Zeros stand for no pipe.
public struct Neighbour: Hashable, Sendable {
    /// The length in bytes.
    public static let byteCount = 24

    /// A key that is equal in two processes that can read each other's shared memory; never 0.
    public var hostKey: UInt64
    /// The worker's pipe; nil when it has none.
    public var pipe: SharedPayload.Memory?

    /// Creates a description.
    public init(hostKey: UInt64, pipe: SharedPayload.Memory?) {
        self.hostKey = hostKey
        self.pipe = pipe
    }

    /// The encoded description.
    public var bytes: [UInt8] {
        var writer = LittleEndianWriter(capacity: Self.byteCount)
        writer.append(hostKey)
        writer.append(pipe)
        return writer.bytes
    }

    /// Creates a description from bytes that came from another process. Returns nil when they are
    /// malformed.
    public init?(bytes: UnsafeRawBufferPointer) {
        guard bytes.count == Self.byteCount else { return nil }
        var reader = LittleEndianReader(bytes)
        hostKey = reader.next(UInt64.self)
        guard hostKey != 0, let pipe = reader.optionalMemory() else { return nil }
        self.pipe = pipe
    }
}
