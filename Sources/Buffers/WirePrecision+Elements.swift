import CKernels
import ClusterProtocol

/// Conversion and addition of elements in both precisions. *Packed* elements have the form in which
/// they travel.
///
/// Threading: these are pure functions of the memory they are given.
extension WirePrecision {
    /// Packs floats in place. The result begins at the address of the first float.
    package func pack(_ floats: UnsafeMutablePointer<Float>, count: Int) {
        switch self {
        case .fp32: break
        case .bf16: convoy_bf16_pack(floats, floats, count)
        }
    }

    /// Packs floats into other memory.
    package func pack(
        _ floats: UnsafePointer<Float>, into packed: UnsafeMutableRawPointer, count: Int
    ) {
        switch self {
        case .fp32: packed.copyMemory(from: floats, byteCount: count * 4)
        case .bf16: convoy_bf16_pack(packed, floats, count)
        }
    }

    /// Unpacks elements into floats. Unpacking loses nothing.
    package func unpack(
        _ packed: UnsafeRawPointer, into floats: UnsafeMutablePointer<Float>, count: Int
    ) {
        switch self {
        case .fp32:
            UnsafeMutableRawPointer(floats).copyMemory(from: packed, byteCount: count * 4)
        case .bf16: convoy_bf16_unpack(floats, packed, count)
        }
    }

    /// Writes the values that packing and unpacking again would give.
    package func round(
        _ floats: UnsafePointer<Float>, into rounded: UnsafeMutablePointer<Float>, count: Int
    ) {
        switch self {
        case .fp32: rounded.update(from: floats, count: count)
        case .bf16: convoy_bf16_round(rounded, floats, count)
        }
    }

    /// Adds packed elements and packs the sum. All three addresses must be aligned for floats.
    /// `sum` may equal `left` or `right`.
    package func add(
        _ left: UnsafeRawPointer, _ right: UnsafeRawPointer, into sum: UnsafeMutableRawPointer,
        count: Int
    ) {
        switch self {
        case .fp32:
            convoy_add(
                sum.assumingMemoryBound(to: Float.self),
                left.assumingMemoryBound(to: Float.self),
                right.assumingMemoryBound(to: Float.self), count)
        case .bf16: convoy_bf16_add(sum, left, right, count)
        }
    }

    /// Calls `body` with packed elements as floats. Elements in fp32 are passed without copying;
    /// elements in bf16 are unpacked into a buffer from `scratch`.
    ///
    /// - Parameter packed: Address of the elements, aligned for floats.
    package func withFloats(
        _ packed: UnsafeRawPointer, count: Int, scratch: () -> FloatBuffer,
        _ body: (UnsafePointer<Float>) -> Void
    ) {
        switch self {
        case .fp32: body(packed.assumingMemoryBound(to: Float.self))
        case .bf16:
            let buffer = scratch()
            convoy_bf16_unpack(buffer.pointer, packed, count)
            body(UnsafePointer(buffer.pointer))
        }
    }
}
