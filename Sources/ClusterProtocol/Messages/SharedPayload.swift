/// Where a payload lies in memory that sender and receiver share, for messages that do not carry it.
///
/// A description has 40 bytes, little-endian: process and descriptor (UInt32 each), then token, slot,
/// byte offset and content number (UInt64 each). The content number says which content of the slot is
/// meant: a payload is gone once its slot has another content.
public struct SharedPayload: Hashable, Sendable {
    /// The length of a description in bytes.
    public static let byteCount = 40

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
    /// Where the payload begins, in bytes from the beginning of the memory.
    public var byteOffset: Int
    /// The content number of the slot while the payload is there.
    public var content: UInt64

    /// Creates a description.
    public init(memory: Memory, slot: Int, byteOffset: Int, content: UInt64) {
        self.memory = memory
        self.slot = slot
        self.byteOffset = byteOffset
        self.content = content
    }

    /// The description's 40 bytes.
    public var bytes: [UInt8] {
        var writer = LittleEndianWriter(capacity: Self.byteCount)
        writer.append(UInt32(memory.processIdentifier))
        writer.append(UInt32(memory.descriptor))
        writer.append(memory.token)
        writer.append(UInt64(slot))
        writer.append(UInt64(byteOffset))
        writer.append(content)
        return writer.bytes
    }

    /// Reads a description that came over the network; returns nil when the bytes are not one.
    public init?(bytes: UnsafeRawBufferPointer) {
        guard bytes.count == Self.byteCount else { return nil }
        var reader = LittleEndianReader(bytes)
        let process = Int(reader.next(UInt32.self))
        let descriptor = Int(reader.next(UInt32.self))
        let token = reader.next(UInt64.self)
        guard let slot = Int(exactly: reader.next(UInt64.self)),
            let offset = Int(exactly: reader.next(UInt64.self)),
            process <= Int(Int32.max), descriptor <= Int(Int32.max)
        else { return nil }
        memory = Memory(processIdentifier: process, descriptor: descriptor, token: token)
        self.slot = slot
        byteOffset = offset
        content = reader.next(UInt64.self)
    }
}
