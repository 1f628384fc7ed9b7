import CLinux
import ClusterProtocol
import Glibc

/// The layout of a slab in memory. The process that writes a slab and those that read it must agree
/// on this layout.
///
/// | bytes | content |
/// |---|---|
/// | 0 | magic number |
/// | 8 | token |
/// | 16 | slot count |
/// | 64 + 64 × slot | content number of the slot |
/// | then, page-aligned | the slots |
package enum SlabLayout {
    /// The first eight bytes of every slab.
    package static let magic: UInt64 = 0x4241_4C53_594F_5643
    private static let pageByteCount = 4096
    private static let lineByteCount = 64

    /// Returns the byte offset of a slot's content number.
    package static func contentOffset(slot: Int) -> Int { lineByteCount * (slot + 1) }

    /// Returns the byte offset of the first slot's data, rounded up to whole pages.
    package static func dataOffset(slotCount: Int) -> Int { rounded(contentOffset(slot: slotCount)) }

    /// Returns the bytes that a slot of `elementCount` floats takes, rounded up to whole pages.
    package static func slotByteCount(elementCount: Int) -> Int { rounded(max(1, elementCount) * 4) }

    private static func rounded(_ byteCount: Int) -> Int {
        (byteCount + pageByteCount - 1) / pageByteCount * pageByteCount
    }
}

/// Shared memory for several buffers of one size. Other processes of this host can read it.
///
/// A slot's content number rises each time the slot is given out again, before its new owner writes
/// to it. A reader copies the data first and then compares the content number with the number in
/// the message it received. If both are equal, the copy is the data that the sender meant (a
/// sequence lock).
///
/// Safety: the mapping lives from `init` to `deinit`. A slot has at most one owner at a time, and
/// only its owner writes to it.
package final class SharedSlab: @unchecked Sendable {
    /// The number of slots.
    package let slotCount: Int
    private let memory: SharedPayload.Memory
    private let base: UnsafeMutableRawPointer
    private let byteCount: Int
    private let slotByteCount: Int

    /// Creates a slab, or returns nil where the system does not give such memory. Callers then use
    /// ordinary memory.
    package init?(elementCount: Int, slotCount: Int) {
        slotByteCount = SlabLayout.slotByteCount(elementCount: elementCount)
        byteCount = SlabLayout.dataOffset(slotCount: slotCount) + slotCount * slotByteCount
        let descriptor = convoy_shared_memory(SharedWindow.label, byteCount)
        guard descriptor >= 0 else { return nil }
        let address = mmap(
            nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        guard let address, address != MAP_FAILED else {
            close(descriptor)
            return nil
        }
        base = address
        self.slotCount = slotCount
        let token = UInt64.random(in: .min ... .max)
        memory = SharedPayload.Memory(
            processIdentifier: Int(getpid()), descriptor: Int(descriptor), token: token)
        base.storeBytes(of: SlabLayout.magic, as: UInt64.self)
        base.storeBytes(of: token, toByteOffset: 8, as: UInt64.self)
        base.storeBytes(of: UInt64(slotCount), toByteOffset: 16, as: UInt64.self)
    }

    deinit {
        munmap(base, byteCount)
        close(Int32(memory.descriptor))
    }

    private func content(of slot: Int) -> UnsafeMutablePointer<UInt64> {
        (base + SlabLayout.contentOffset(slot: slot)).assumingMemoryBound(to: UInt64.self)
    }

    private func offset(of slot: Int) -> Int {
        SlabLayout.dataOffset(slotCount: slotCount) + slot * slotByteCount
    }

    /// Returns the memory of a slot for new content. Payloads that described the slot's former
    /// content become invalid.
    func open(slot: Int) -> UnsafeMutablePointer<Float> {
        convoy_sequence_advance(content(of: slot))
        return (base + offset(of: slot)).assumingMemoryBound(to: Float.self)
    }

    /// Returns the description that a reader needs to find the elements from `firstElement` on.
    package func payload(slot: Int, firstElement: Int) -> SharedPayload {
        SharedPayload(
            memory: memory, slot: slot, byteOffset: offset(of: slot) + firstElement * 4,
            content: convoy_sequence(content(of: slot)))
    }
}
