/// One pass over one tile: what its operations must know.
struct NativeTile {
    /// Nil where nothing is dropped.
    var dropout: DropoutKey?
    /// Whether gradients are wanted afterwards.
    var isTraining = false
    /// The first tile of a microbatch overwrites gradients, the others add to them.
    var isFirst = true
    var isLast = true
    /// The flat gradient; nil in a forward pass.
    var gradient: UnsafeMutablePointer<Float>?
}

/// One thing to do to a tile.
struct NativeOperation {
    let name: String
    let isConvolution: Bool
    /// Bytes read and written each time.
    let byteCount: Int
    let run: (NativeTile) -> Void

    init(
        _ name: String, isConvolution: Bool = false, byteCount: Int,
        run: @escaping (NativeTile) -> Void
    ) {
        self.name = name
        self.isConvolution = isConvolution
        self.byteCount = byteCount
        self.run = run
    }
}

/// A layer, or several that are computed as one, on lane tensors of its own.
///
/// Threading: as the engine it belongs to.
protocol NativeStage: AnyObject {
    var layer: NetworkLayer { get }
    /// [C, H, W, 8]; where a stage works in place, its input.
    var output: AlignedBuffer { get }
    /// The gradient of the input; nil when nobody wants it.
    var inputGradient: AlignedBuffer? { get }
    /// Takes what it needs of the flat parameter vector; nil for a stage without parameters.
    var load: ((UnsafePointer<Float>) -> Void)? { get }
    /// Writes the parameters in force to their places in the flat vector.
    func copyParameters(into flat: UnsafeMutablePointer<Float>)
    func forward() -> [NativeOperation]
    /// - Parameter outputGradient: may be changed.
    func backward(_ outputGradient: AlignedBuffer) -> [NativeOperation]
}

extension NativeStage {
    var load: ((UnsafePointer<Float>) -> Void)? { nil }
    func copyParameters(into flat: UnsafeMutablePointer<Float>) {}
}
