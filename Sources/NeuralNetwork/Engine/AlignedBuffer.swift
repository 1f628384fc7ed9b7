/// A zeroed block of memory that starts at a multiple of 64 bytes, so that nothing depends on the
/// address of an allocation.
///
/// Safety: `init` allocates the bytes and `deinit` frees them. Code that keeps `bytes` must keep
/// the buffer too. One thread uses a buffer at a time.
final class AlignedBuffer {
    let bytes: UnsafeMutableRawPointer
    /// The size that was asked for, in bytes; the allocation is rounded up to a multiple of 64.
    let byteCount: Int

    /// Creates a buffer of `byteCount` zero bytes.
    init(byteCount: Int) {
        self.byteCount = byteCount
        let rounded = max((byteCount + 63) / 64 * 64, 64)
        bytes = UnsafeMutableRawPointer.allocate(byteCount: rounded, alignment: 64)
        bytes.initializeMemory(as: UInt8.self, repeating: 0, count: rounded)
    }

    deinit { bytes.deallocate() }

    /// The memory as single-precision numbers.
    var floats: UnsafeMutablePointer<Float> { bytes.assumingMemoryBound(to: Float.self) }
    /// The memory as 16-bit values: bfloat16 numbers, or the choices of a max-pool.
    var halves: UnsafeMutablePointer<UInt16> { bytes.assumingMemoryBound(to: UInt16.self) }
}
