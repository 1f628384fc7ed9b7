/// Zeroed bytes at a multiple of 64, so that nothing depends on where an allocation falls.
///
/// Safety: the bytes are allocated by `init` and freed by `deinit`; whoever keeps `bytes` keeps the
/// buffer. One thread uses it at a time.
final class AlignedBuffer {
    let bytes: UnsafeMutableRawPointer
    let byteCount: Int

    init(byteCount: Int) {
        self.byteCount = byteCount
        let rounded = max((byteCount + 63) / 64 * 64, 64)
        bytes = UnsafeMutableRawPointer.allocate(byteCount: rounded, alignment: 64)
        bytes.initializeMemory(as: UInt8.self, repeating: 0, count: rounded)
    }

    deinit { bytes.deallocate() }

    var floats: UnsafeMutablePointer<Float> { bytes.assumingMemoryBound(to: Float.self) }
    var halves: UnsafeMutablePointer<UInt16> { bytes.assumingMemoryBound(to: UInt16.self) }
}
