import Buffers
import ClusterProtocol
import ClusterRuntime
import CounterRandom
import Glibc
import TestSupport
import Testing

/// Floats that another process reads where they lie; this process plays both sides.
@Suite struct SharedMemoryTests {
    private static let count = 1000

    private static func filled(_ pool: FloatBufferPool, with value: Float) -> FloatBuffer {
        let buffer = pool.take()
        for index in 0..<count { buffer.pointer[index] = value + Float(index) }
        return buffer
    }

    @Test func aReaderCopiesWhatIsMeant() throws {
        let pool = FloatBufferPool(count: Self.count, isShared: true)
        var windows = SharedWindows()
        // More buffers than one slab holds.
        let buffers = (0..<1100).map { Self.filled(pool, with: Float($0)) }
        #expect(Set(buffers.map { UInt(bitPattern: $0.pointer) }).count == 1100)
        for (number, buffer) in buffers.enumerated() {
            let place = try #require(buffer.sharedPayload(firstElement: 16))
            let parsed = place.bytes.withUnsafeBytes { SharedPayload(bytes: $0) }
            let copy = FloatBuffer(count: 64)
            #expect(windows.copy(try #require(parsed), to: copy) == .copied)
            #expect((0..<64).allSatisfy { copy.pointer[$0] == Float(number + 16 + $0) })
        }
    }

    @Test func aSlotWrittenAgainIsStale() throws {
        let pool = FloatBufferPool(count: Self.count, isShared: true)
        var windows = SharedWindows()
        let copy = FloatBuffer(count: Self.count)
        var buffer: FloatBuffer? = Self.filled(pool, with: 1)
        let place = try #require(buffer?.sharedPayload())
        let address = buffer?.pointer
        #expect(windows.copy(place, to: copy) == .copied)
        buffer = nil
        // The memory was not written again yet, so its content still is the buffer's.
        #expect(windows.copy(place, to: copy) == .copied)
        buffer = pool.take()
        #expect(buffer?.pointer == address)
        #expect(windows.copy(place, to: copy) == .stale)
        let next = try #require(buffer?.sharedPayload())
        #expect(windows.copy(next, to: copy) == .copied)
    }

    @Test func ordinaryMemoryHasNoPlace() {
        #expect(FloatBuffer(count: 5).sharedPayload() == nil)
        #expect(FloatBufferPool(count: 5).take().sharedPayload() == nil)
    }

    @Test func foreignDescriptorsAreNotOpened() throws {
        let pool = FloatBufferPool(count: Self.count, isShared: true)
        let buffer = Self.filled(pool, with: 1)
        let place = try #require(buffer.sharedPayload())
        let copy = FloatBuffer(count: Self.count)
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        let file = open("/proc/self/exe", O_RDONLY)
        defer { for descriptor in ends + [file] { close(descriptor) } }
        for descriptor in ends + [file, 1 << 20] {
            var forged = place
            forged.memory.descriptor = Int(descriptor)
            var windows = SharedWindows()
            #expect(windows.copy(forged, to: copy) == .unavailable)
        }
        for change: (inout SharedPayload) -> Void in [
            { $0.memory.token ^= 1 }, { $0.memory.processIdentifier = 1 << 30 },
        ] {
            var forged = place
            change(&forged)
            var windows = SharedWindows()
            #expect(windows.copy(forged, to: copy) == .unavailable)
        }
    }

    /// Whatever memory a peer names, nothing outside its own is read.
    @Test func foreignPlacesNeverTrap() throws {
        let pool = FloatBufferPool(count: Self.count, isShared: true)
        let buffer = Self.filled(pool, with: 1)
        let place = try #require(buffer.sharedPayload())
        let copy = FloatBuffer(count: Self.count)
        var random = RandomStream(seed: TestSeed.base, purpose: .simulation, 11)
        var windows = SharedWindows()
        let edges = [0, 1, 63, 64, 4095, 4096, 4100, 4 << 20, 1 << 40, .max - 3, .max]
        for _ in 0..<20_000 {
            var forged = place
            forged.slot = edges[random.next(below: edges.count)]
            forged.byteOffset = edges[random.next(below: edges.count)]
            if random.next(below: 2) == 0 {
                forged.byteOffset = random.next(below: 5 << 20)
                forged.slot = random.next(below: 2000)
            }
            let outcome = windows.copy(forged, to: copy)
            #expect(outcome != .unavailable)
        }
        #expect(SharedPayload(bytes: UnsafeRawBufferPointer(start: nil, count: 0)) == nil)
        let all = [UInt8](repeating: 255, count: SharedPayload.byteCount)
        #expect(all.withUnsafeBytes { SharedPayload(bytes: $0) } == nil)
    }

    @Test func memoryOfAPoolThatIsGoneIsUnavailable() throws {
        var pool: FloatBufferPool? = FloatBufferPool(count: Self.count, isShared: true)
        let place = try #require(pool?.take().sharedPayload())
        pool = nil
        var windows = SharedWindows()
        #expect(windows.copy(place, to: FloatBuffer(count: 4)) == .unavailable)
    }
}
