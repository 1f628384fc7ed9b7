import CKernels
import ClusterProtocol

/// What the two precisions do to elements. *Packed* elements are as they travel.
///
/// Threading: pure functions of the memory they are given.
extension WirePrecision {
    /// Packs floats where they lie: the result begins where the first of them did.
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

    package func unpack(
        _ packed: UnsafeRawPointer, into floats: UnsafeMutablePointer<Float>, count: Int
    ) {
        switch self {
        case .fp32:
            UnsafeMutableRawPointer(floats).copyMemory(from: packed, byteCount: count * 4)
        case .bf16: convoy_bf16_unpack(floats, packed, count)
        }
    }

    /// What unpacking gives of packed floats.
    package func round(
        _ floats: UnsafePointer<Float>, into rounded: UnsafeMutablePointer<Float>, count: Int
    ) {
        switch self {
        case .fp32: rounded.update(from: floats, count: count)
        case .bf16: convoy_bf16_round(rounded, floats, count)
        }
    }

    /// The packed sum of packed elements, at addresses where floats may lie; `sum` may be `left` or
    /// `right`.
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

    /// Packed elements as floats: where they lie if they are, otherwise in memory from `scratch`.
    ///
    /// - Parameter packed: an address where floats may lie.
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
