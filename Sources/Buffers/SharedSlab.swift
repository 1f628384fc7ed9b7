import CLinux
import ClusterProtocol
import Glibc

/// How the pages of a slab are laid out: both sides must agree.
///
/// | bytes | what |
/// |---|---|
/// | 0 | magic |
/// | 8 | token |
/// | 16 | slot count |
/// | 64 + 64 × slot | content number of the slot |
/// | then, page-aligned | the slots |
package enum SlabLayout {
    package static let magic: UInt64 = 0x4241_4C53_594F_5643
    private static let pageByteCount = 4096
    private static let lineByteCount = 64

    package static func contentOffset(slot: Int) -> Int { lineByteCount * (slot + 1) }

    package static func dataOffset(slotCount: Int) -> Int { rounded(contentOffset(slot: slotCount)) }

    package static func slotByteCount(elementCount: Int) -> Int { rounded(max(1, elementCount) * 4) }

    private static func rounded(_ byteCount: Int) -> Int {
        (byteCount + pageByteCount - 1) / pageByteCount * pageByteCount
    }
}

/// Memory for several buffers of one size that other processes of this host can read.
///
/// A slot's content number rises each time the slot is given out anew, before anybody writes to it.
/// A reader copies, then compares the number with the one it was told: equal means that the copy is
/// what was meant (a sequence lock).
///
/// Safety: the mapping lives from `init` to `deinit`. A slot is given out once at a time; whoever
/// holds it is the only one who writes it.
package final class SharedSlab: @unchecked Sendable {
    package let slotCount: Int
    private let memory: SharedPayload.Memory
    private let base: UnsafeMutableRawPointer
    private let byteCount: Int
    private let slotByteCount: Int

    /// Nil where the system does not give such memory; ordinary memory then does.
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

    /// The slot's memory, to be written anew: what was told of it before holds no longer.
    func open(slot: Int) -> UnsafeMutablePointer<Float> {
        convoy_sequence_advance(content(of: slot))
        return (base + offset(of: slot)).assumingMemoryBound(to: Float.self)
    }

    /// What to tell a reader of the elements from `firstElement` on.
    package func payload(slot: Int, firstElement: Int) -> SharedPayload {
        SharedPayload(
            memory: memory, slot: slot, byteOffset: offset(of: slot) + firstElement * 4,
            content: convoy_sequence(content(of: slot)))
    }
}
