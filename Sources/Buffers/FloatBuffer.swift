import ClusterProtocol
import Synchronization

/// Floats at a fixed, 64-byte aligned address; what compute, sums and frames share without copying.
///
/// Safety: memory lives from `init` to `deinit`. One thread writes until it hands the buffer, or a
/// stretch of it, over; from then on everyone only reads. The memory goes back to its pool when the
/// last holder (often a frame that libzmq has sent) lets go.
public final class FloatBuffer: @unchecked Sendable {
    public let pointer: UnsafeMutablePointer<Float>
    public let count: Int
    private let pool: FloatBufferPool?
    fileprivate let slot: SharedSlot?

    /// Memory of its own, all zeros.
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

    /// Where another process of this host finds the elements from `firstElement` on; nil when this
    /// memory is not shared.
    public func sharedPayload(firstElement: Int = 0) -> SharedPayload? {
        slot.map { $0.slab.payload(slot: $0.index, firstElement: firstElement) }
    }

    public var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: pointer, count: count * 4)
    }

    /// The bytes of a stretch of elements; those of a precision that takes fewer bytes lie at the
    /// beginning of the stretch.
    public func bytes(
        _ range: Range<Int>, _ precision: WirePrecision = .fp32
    ) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(
            start: pointer + range.lowerBound,
            count: precision.byteCount(elementCount: range.count))
    }

    /// Floats in whose memory so many bytes find room.
    package static func count(forBytes byteCount: Int) -> Int { (byteCount + 3) / 4 }

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

/// A place in shared memory.
package struct SharedSlot: Sendable {
    package var slab: SharedSlab
    package var index: Int
}

/// Buffers of one size that are used again and again; keeps at most `bound` idle ones, and all that
/// lie in shared memory.
public final class FloatBufferPool: Sendable {
    /// Safety: an idle pointer is owned by the pool alone.
    private struct Idle: @unchecked Sendable {
        var pointers: [UnsafeMutablePointer<Float>] = []
        var slots: [SharedSlot] = []
    }

    /// Bytes that a slab of shared memory aims at.
    private static let slabByteCount = 4 << 20

    public let count: Int
    private let bound: Int
    private let isShared: Bool
    private let idle = Mutex(Idle())

    /// - Parameter isShared: other processes of this host may read the buffers, where the system
    ///   has such memory.
    public init(count: Int, bound: Int = 64, isShared: Bool = false) {
        self.count = count
        self.bound = bound
        self.isShared = isShared
    }

    deinit { idle.withLock { for pointer in $0.pointers { pointer.deallocate() } } }

    /// A buffer with whatever it held before.
    public func take() -> FloatBuffer {
        if isShared, let slot = takeSlot() { return FloatBuffer(slot, pool: self) }
        let found = idle.withLock { Idle(pointers: $0.pointers.popLast().map { [$0] } ?? []) }
        return FloatBuffer(found.pointers.first ?? FloatBuffer.allocate(count), pool: self)
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
