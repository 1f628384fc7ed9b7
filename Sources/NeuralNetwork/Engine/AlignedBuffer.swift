import CKernels

/// A zeroed block of memory that starts at a multiple of 64 bytes, so that nothing depends on the
/// address of an allocation.
///
/// Safety: `init` allocates the bytes and `deinit` frees them. Code that keeps `bytes` must keep
/// the buffer too. One thread uses a buffer at a time.
package final class AlignedBuffer {
    /// The size from which on a buffer asks for huge pages. Kernels that walk through several parts of
    /// it at a time need fewer entries of the processor's page table then.
    private static let hugeByteCount = 4 << 20

    package let bytes: UnsafeMutableRawPointer
    /// The size that was asked for, in bytes; the allocation is rounded up to a multiple of 64.
    package let byteCount: Int
    private let hasMemory: Bool

    /// Creates a buffer of `byteCount` zero bytes.
    ///
    /// - Parameter hasMemory: whether the memory is allocated. Without it the buffer has a size
    ///   alone, for a plan that is only counted, and its bytes must not be used.
    package init(byteCount: Int, hasMemory: Bool = true) {
        self.byteCount = byteCount
        self.hasMemory = hasMemory
        let rounded = Self.allocatedByteCount(byteCount)
        guard hasMemory else {
            // An address that no allocation has; every access to it faults.
            bytes = UnsafeMutableRawPointer(bitPattern: 64)!
            return
        }
        bytes = UnsafeMutableRawPointer.allocate(byteCount: rounded, alignment: 64)
        if rounded >= Self.hugeByteCount { convoy_use_huge_pages(bytes, rounded) }
        bytes.initializeMemory(as: UInt8.self, repeating: 0, count: rounded)
    }

    deinit { if hasMemory { bytes.deallocate() } }

    /// Returns the bytes that a buffer of this size allocates.
    static func allocatedByteCount(_ byteCount: Int) -> Int { max((byteCount + 63) / 64 * 64, 64) }

    /// The memory as single-precision numbers.
    package var floats: UnsafeMutablePointer<Float> { bytes.assumingMemoryBound(to: Float.self) }
    /// The memory as 16-bit values: bfloat16 numbers, or the choices of a max-pool.
    package var halves: UnsafeMutablePointer<UInt16> { bytes.assumingMemoryBound(to: UInt16.self) }
}
