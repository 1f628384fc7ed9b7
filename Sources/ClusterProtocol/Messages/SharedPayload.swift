/// The place of a payload in memory that sender and receiver share, in a message that does not
/// carry the payload itself.
///
/// A description has 56 bytes, little-endian: process and descriptor (UInt32 each), then token,
/// slot, byte offset and content number (UInt64 each), then process, descriptor and token of the
/// sender's pipe, or zeros when the sender has none. The content number says which content of the
/// slot is meant: a payload is gone once its slot has another content.
public struct SharedPayload: Hashable, Sendable {
    /// The length of a description in bytes.
    public static let byteCount = 56

    /// The name of a piece of shared memory on a host: a process, its file descriptor, and a number
    /// drawn when the memory was made.
    public struct Memory: Hashable, Sendable {
        /// The process that made the memory.
        public var processIdentifier: Int
        /// The file descriptor of the memory in that process.
        public var descriptor: Int
        /// The number drawn when the memory was made: it tells apart memory that had the same process
        /// identifier and descriptor at different times.
        public var token: UInt64

        /// Creates the name of a piece of memory.
        public init(processIdentifier: Int, descriptor: Int, token: UInt64) {
            self.processIdentifier = processIdentifier
            self.descriptor = descriptor
            self.token = token
        }
    }

    /// The memory in which the payload lies.
    public var memory: Memory
    /// The number of the memory's slot in which the payload lies.
    public var slot: Int
    /// The payload's first byte, counted from the beginning of the memory.
    public var byteOffset: Int
    /// The content number of the slot while the payload is there.
    public var content: UInt64

    /// The pipe by which the sender can be told of memory without a socket; nil when it has none.
    public var pipe: Memory?

    /// Creates a description.
    public init(
        memory: Memory, slot: Int, byteOffset: Int, content: UInt64, pipe: Memory? = nil
    ) {
        self.memory = memory
        self.slot = slot
        self.byteOffset = byteOffset
        self.content = content
        self.pipe = pipe
    }

    /// The encoded description.
    public var bytes: [UInt8] {
        var writer = LittleEndianWriter(capacity: Self.byteCount)
        writer.append(memory)
        writer.append(UInt64(slot))
        writer.append(UInt64(byteOffset))
        writer.append(content)
        writer.append(pipe)
        return writer.bytes
    }

    /// Creates a description from bytes that came from another process. Returns nil when they are
    /// malformed.
    public init?(bytes: UnsafeRawBufferPointer) {
        guard bytes.count == Self.byteCount else { return nil }
        var reader = LittleEndianReader(bytes)
        guard let memory = reader.memory(),
            let slot = Int(exactly: reader.next(UInt64.self)),
            let offset = Int(exactly: reader.next(UInt64.self))
        else { return nil }
        self.memory = memory
        self.slot = slot
        byteOffset = offset
        content = reader.next(UInt64.self)
        guard let pipe = reader.optionalMemory() else { return nil }
        self.pipe = pipe
    }
}

extension LittleEndianWriter {
    /// Appends 16 bytes: process and descriptor (UInt32 each) and token; zeros for nil.
    mutating func append(_ memory: SharedPayload.Memory?) {
        append(UInt32(memory?.processIdentifier ?? 0))
        append(UInt32(memory?.descriptor ?? 0))
        append(memory?.token ?? 0)
    }
}

extension LittleEndianReader {
    /// Reads 16 bytes. Returns nil when their numbers cannot be a process and a descriptor.
    mutating func memory() -> SharedPayload.Memory? {
        let process = Int(next(UInt32.self))
        let descriptor = Int(next(UInt32.self))
        let token = next(UInt64.self)
        guard process <= Int(Int32.max), descriptor <= Int(Int32.max) else { return nil }
        return SharedPayload.Memory(
            processIdentifier: process, descriptor: descriptor, token: token)
    }

    /// Reads 16 bytes, which are all zero for no memory. Returns nil when they are malformed, and
    /// `.some(nil)` for no memory.
    mutating func optionalMemory() -> SharedPayload.Memory?? {
        guard let memory = memory() else { return nil }
        if memory.processIdentifier > 0 { return .some(memory) }
        return memory.descriptor == 0 && memory.token == 0 ? .some(nil) : nil
    }
}
