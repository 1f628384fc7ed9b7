import CKernels

/// Arithmetic on flat vectors of parameters or gradients, with the same bits on every host.
public enum FlatVector {
    /// Computes out[i] = a[i] + b[i] for `count` elements.
    ///
    /// `out` may be `a` or `b`; partial overlap is not allowed.
    public static func add(
        _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>,
        into out: UnsafeMutablePointer<Float>, count: Int
    ) {
        convoy_add(out, a, b, count)
    }
}
