/// One part of an engine's step, for a breakdown of the step's time.
public struct EnginePart: Sendable, Hashable {
    /// The phases of a step, in order; the raw values are their names in a table.
    public enum Phase: String, Sendable, Hashable, CaseIterable {
        /// The parameters of the flat vector are copied or packed for the kernels.
        case weights = "weights in"
        /// The forward pass of a tile, with the copying of its images.
        case forward
        /// The loss of a tile and the gradient of its outputs.
        case loss
        /// The backward pass of a tile.
        case backward
        /// The parameter gradients of a tile are added to those of the tiles before it.
        case sum = "tile sums"
        /// The gradient sums are copied to the flat vector.
        case gradient = "gradient out"
    }

    /// The phase that the part belongs to.
    public let phase: Phase
    /// The name of the layer or of the tensor.
    public let name: String
    /// The work that is done, for instance "weight gradient" or "reorder".
    public let operation: String
    /// The library's name for the code that runs, or "own" for Convoy's own kernels.
    public let kernel: String
    /// The bytes that are read and written each time the part runs.
    public let byteCount: Int
    /// Whether the part runs once a tile; otherwise it runs once a step.
    public let isPerTile: Bool
    /// Whether the part computes a convolution or a gradient of one.
    public let isConvolution: Bool

    /// Creates a part.
    package init(
        phase: Phase, name: String, operation: String, kernel: String, byteCount: Int,
        isPerTile: Bool, isConvolution: Bool
    ) {
        self.phase = phase
        self.name = name
        self.operation = operation
        self.kernel = kernel
        self.byteCount = byteCount
        self.isPerTile = isPerTile
        self.isConvolution = isConvolution
    }
}

/// A profile runs an engine's step part by part and measures the time of each part.
///
/// It runs the operations that ``GradientEngine`` runs, in the same order and on the same buffers.
/// It is separate from the engine so that an engine that is not measured pays nothing for it.
/// Threading: a profile belongs to the thread that owns its engine.
public protocol EngineProfile: AnyObject {
    /// The parts of a step, in the order in which they run.
    var parts: [EnginePart] { get }

    /// Runs one training step, as `setParameters` and `computeGradient` would, and adds the time of
    /// each part to `times`.
    ///
    /// - Parameters:
    ///   - parameters: the flat parameter vector.
    ///   - batch: the records of the step.
    ///   - epoch: the number of the epoch; it keys dropout.
    ///   - gradient: receives the flat gradient, summed over the records.
    ///   - clock: returns the time, in any unit.
    ///   - times: has one element for each of ``parts``, in the unit of `clock`.
    /// - Returns: the sums over the records of `batch`.
    func run(
        parameters: UnsafePointer<Float>, batch: MicrobatchView, epoch: Int,
        into gradient: UnsafeMutablePointer<Float>, clock: @escaping () -> Int64,
        times: inout [Int64]
    ) -> BatchStatistics

    /// Runs only the convolutions of `tileCount` tiles, on the values that happen to lie in the
    /// buffers, in the groups of tiles of a step, and adds their times to `times`.
    ///
    /// The sum of these times is a lower bound for the step of any engine built from these
    /// convolutions.
    func runConvolutions(tileCount: Int, clock: @escaping () -> Int64, times: inout [Int64])
}

/// An engine whose time can be broken down into parts.
public protocol ProfiledEngine: GradientEngine {
    /// Creates a profile. It uses the engine's own buffers, so it must not run while the engine
    /// computes.
    func makeProfile() -> any EngineProfile
}

/// A clock for parts that follow one another: each lap ends one part and begins the next.
package struct Stopwatch {
    /// The index of the part that is running.
    package var index = 0
    private let clock: () -> Int64
    private var begin: Int64

    package init(clock: @escaping () -> Int64) {
        self.clock = clock
        begin = clock()
    }

    /// Adds the time since the last lap to `times[index]`, and begins the next part.
    package mutating func lap(_ times: inout [Int64]) {
        let end = clock()
        times[index] += end - begin
        begin = end
        index += 1
    }
}
