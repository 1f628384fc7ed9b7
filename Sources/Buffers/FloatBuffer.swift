import ClusterProtocol
import Synchronization

/// A buffer of floats at a fixed address, aligned to 64 bytes. Compute threads, gradient sums and
/// message frames share it without copying.
///
/// Safety: the memory lives from `init` to `deinit`. One thread writes until it hands over the
/// buffer, or a range of it; after that all threads only read. The memory returns to its pool when
/// the last reference is dropped. The last reference is often held by a frame that libzmq has sent.
public final class FloatBuffer: @unchecked Sendable {
    /// The first element.
    public let pointer: UnsafeMutablePointer<Float>
    /// The number of floats.
    public let count: Int
    private let pool: FloatBufferPool?
    fileprivate let slot: SharedSlot?

    /// Creates a buffer with its own memory, filled with zeros.
    public init(count: Int) {
        self.count = count
        pointer = Self.allocate(count)
        pool = nil
        slot = nil
    }

    fileprivate init(_ pointer: UnsafeMutablePointer<Float>, pool: FloatBufferPool) {
        self.pointer = pointer
        count = pool.count
        self.pool = pool
        slot = nil
    }

    fileprivate init(_ slot: SharedSlot, pool: FloatBufferPool) {
        pointer = slot.slab.open(slot: slot.index)
        count = pool.count
        self.pool = pool
        self.slot = slot
    }

    deinit {
        if let slot {
            pool?.takeBack(slot)
        } else if pool?.takeBack(pointer) != true {
            pointer.deallocate()
        }
    }

    /// Returns the place where another process of this host finds the elements from `firstElement`
    /// on, or nil when the memory is not shared.
    public func sharedPayload(firstElement: Int = 0) -> SharedPayload? {
        slot.map { $0.slab.payload(slot: $0.index, firstElement: firstElement) }
    }

    /// All bytes of the buffer, `count` × 4 of them.
    public var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: pointer, count: count * 4)
    }

    /// Returns the bytes that hold a range of elements in the given precision. In a precision
    /// narrower than fp32 the bytes lie at the beginning of the range's memory.
    public func bytes(
        _ range: Range<Int>, _ precision: WirePrecision = .fp32
    ) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(
            start: pointer + range.lowerBound,
            count: precision.byteCount(elementCount: range.count))
    }

    /// Returns the number of floats needed to hold `byteCount` bytes.
    package static func count(forBytes byteCount: Int) -> Int { (byteCount + 3) / 4 }

    /// Copies bytes into the buffer, beginning at the element `offset`.
    ///
    /// - Precondition: the bytes end within the buffer.
    public func copy(_ source: UnsafeRawBufferPointer, to offset: Int = 0) {
        precondition(offset * 4 + source.count <= count * 4, "copy beyond the buffer's end")
        guard let base = source.baseAddress else { return }
        UnsafeMutableRawPointer(pointer + offset).copyMemory(from: base, byteCount: source.count)
    }

    fileprivate static func allocate(_ count: Int) -> UnsafeMutablePointer<Float> {
        let raw = UnsafeMutableRawPointer.allocate(byteCount: max(64, count * 4), alignment: 64)
        let pointer = raw.bindMemory(to: Float.self, capacity: max(16, count))
        pointer.initialize(repeating: 0, count: count)
        return pointer
    }
}

/// One slot of a shared slab, by its index.
package struct SharedSlot: Sendable {
    package var slab: SharedSlab
    package var index: Int
}

/// A pool of buffers of one size that are reused. The pool keeps at most `bound` idle buffers of
/// ordinary memory, and every idle buffer of shared memory.
///
/// Threading: any thread.
public final class FloatBufferPool: Sendable {
    /// Safety: the pool is the only owner of an idle pointer.
    private struct Idle: @unchecked Sendable {
        var pointers: [UnsafeMutablePointer<Float>] = []
        var slots: [SharedSlot] = []
    }

    /// Intended size of one slab of shared memory, in bytes.
    private static let slabByteCount = 4 << 20

    /// The number of floats in each buffer.
    public let count: Int
    private let bound: Int
    private let isShared: Bool
    private let prepare: @Sendable (UnsafeMutablePointer<Float>) -> Void
    private let idle = Mutex(Idle())

    /// Creates an empty pool.
    ///
    /// - Parameters:
    ///   - count: Number of floats in each buffer.
    ///   - bound: Largest number of idle buffers of ordinary memory that the pool keeps.
    ///   - isShared: Whether other processes of this host may read the buffers. Where the system
    ///     offers no shared memory, the pool uses ordinary memory.
    ///   - prepare: Called with the zeros of each new buffer of ordinary memory.
    public init(
        count: Int, bound: Int = 64, isShared: Bool = false,
        prepare: @escaping @Sendable (UnsafeMutablePointer<Float>) -> Void = { _ in }
    ) {
        self.count = count
        self.bound = bound
        self.isShared = isShared
        self.prepare = prepare
    }

    deinit { idle.withLock { for pointer in $0.pointers { pointer.deallocate() } } }

    /// Returns an idle buffer or a new one. An idle buffer still holds its former content.
    public func take() -> FloatBuffer {
        if isShared, let slot = takeSlot() { return FloatBuffer(slot, pool: self) }
        let found = idle.withLock { Idle(pointers: $0.pointers.popLast().map { [$0] } ?? []) }
        if let pointer = found.pointers.first { return FloatBuffer(pointer, pool: self) }
        let new = FloatBuffer.allocate(count)
        prepare(new)
        return FloatBuffer(new, pool: self)
    }

    private func takeSlot() -> SharedSlot? {
        idle.withLock { idle in
            if let slot = idle.slots.popLast() { return slot }
            let slotCount = max(1, Self.slabByteCount / SlabLayout.slotByteCount(elementCount: count))
            guard let slab = SharedSlab(elementCount: count, slotCount: slotCount) else {
                return nil
            }
            idle.slots = (1..<slotCount).map { SharedSlot(slab: slab, index: $0) }
            return SharedSlot(slab: slab, index: 0)
        }
    }

    fileprivate func takeBack(_ slot: SharedSlot) { idle.withLock { $0.slots.append(slot) } }

    fileprivate func takeBack(_ pointer: UnsafeMutablePointer<Float>) -> Bool {
        let returned = Idle(pointers: [pointer])
        return idle.withLock { idle in
            guard idle.pointers.count < bound else { return false }
            idle.pointers += returned.pointers
            return true
        }
    }
}
