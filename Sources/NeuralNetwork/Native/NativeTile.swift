/// The facts about one pass over one tile that its operations need.
struct NativeTile {
    /// The key of the dropout masks; nil where nothing is dropped.
    var dropout: DropoutKey?
    /// Whether a backward pass follows.
    var isTraining = false
    /// Whether this is the first tile of a microbatch. It overwrites gradients; the other tiles add
    /// to them.
    var isFirst = true
    /// Whether this is the last tile of a microbatch.
    var isLast = true
    /// The flat gradient; nil in a forward pass without a backward pass.
    var gradient: UnsafeMutablePointer<Float>?
}

/// One operation on a tile.
struct NativeOperation {
    let name: String
    let isConvolution: Bool
    /// The bytes that are read and written each time.
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

/// A stage is a layer, or several layers that are computed as one, with lane tensors of its own.
///
/// Threading: a stage belongs to the thread that owns its engine.
protocol NativeStage: AnyObject {
    var layer: NetworkLayer { get }
    /// The output, [C, H, W, 8]. Where a stage works in place, this is its input.
    var output: AlignedBuffer { get }
    /// The gradient of the input; nil where it is not wanted.
    var inputGradient: AlignedBuffer? { get }
    /// Takes the stage's parameters from the flat parameter vector; nil for a stage without
    /// parameters.
    var load: ((UnsafePointer<Float>) -> Void)? { get }
    /// Writes the parameters in force to their places in the flat vector.
    func copyParameters(into flat: UnsafeMutablePointer<Float>)
    /// Returns the operations of the forward pass, in order.
    func forward() -> [NativeOperation]
    /// Returns the operations of the backward pass, in order. The first one computes the gradient
    /// of the stage's parameters, if it has any.
    ///
    /// - Parameter outputGradient: the gradient of the output; the operations may change it.
    func backward(_ outputGradient: AlignedBuffer) -> [NativeOperation]
}

extension NativeStage {
    var load: ((UnsafePointer<Float>) -> Void)? { nil }
    func copyParameters(into flat: UnsafeMutablePointer<Float>) {}
}
