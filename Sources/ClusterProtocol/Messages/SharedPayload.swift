/// Where a payload lies that is not in the message: in memory that sender and receiver share.
///
/// 40 bytes, little-endian: process, descriptor (UInt32 each), token, slot, byte offset, content
/// number (UInt64 each). The content number says which content of the slot is meant; memory that
/// holds another by now is no payload any more.
public struct SharedPayload: Hashable, Sendable {
    public static let byteCount = 40

    /// Names one piece of shared memory on a host: process, its descriptor, and a number drawn when
    /// it was made.
    public struct Memory: Hashable, Sendable {
        public var processIdentifier: Int
        public var descriptor: Int
        public var token: UInt64

        public init(processIdentifier: Int, descriptor: Int, token: UInt64) {
            self.processIdentifier = processIdentifier
            self.descriptor = descriptor
            self.token = token
        }
    }

    public var memory: Memory
    public var slot: Int
    /// From the beginning of the memory.
    public var byteOffset: Int
    public var content: UInt64

    public init(memory: Memory, slot: Int, byteOffset: Int, content: UInt64) {
        self.memory = memory
        self.slot = slot
        self.byteOffset = byteOffset
        self.content = content
    }

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

    /// Nil when bytes from outside are no such description.
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
