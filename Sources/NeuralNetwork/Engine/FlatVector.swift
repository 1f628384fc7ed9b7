import CKernels

/// Arithmetic on flat vectors (gradients, parameters) with the same bits on every host.
public enum FlatVector {
    /// out[i] = a[i] + b[i]. `out` may be `a` or `b`; partial overlap is not allowed.
    public static func add(
        _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>,
        into out: UnsafeMutablePointer<Float>, count: Int
    ) {
        convoy_add(out, a, b, count)
    }
}
