/// One part of an engine's step, for breakdowns of its time.
public struct EnginePart: Sendable, Hashable {
    public enum Phase: String, Sendable, Hashable, CaseIterable {
        case weights = "weights in"
        case forward
        case loss
        case backward
        case sum = "tile sums"
        case gradient = "gradient out"
    }

    public let phase: Phase
    /// The layer's or the tensor's name.
    public let name: String
    public let operation: String
    /// The library's name of the code, or "own".
    public let kernel: String
    /// Bytes read and written each time.
    public let byteCount: Int
    /// Once a tile; otherwise once a step.
    public let isPerTile: Bool
    public let isConvolution: Bool
}

/// An engine's step, part by part, with a clock around each.
///
/// It runs the operations that ``GradientEngine`` runs, in the same order on the same buffers, and
/// is apart from it, so that it costs nothing where nobody asks for it. Threading: as the engine.
public protocol EngineProfile: AnyObject {
    var parts: [EnginePart] { get }

    /// One step: `setParameters`, then `computeGradient` into `gradient`. Adds each part's time to
    /// `times`, which has an element for each of ``parts``, in units of `clock`.
    func run(
        parameters: UnsafePointer<Float>, batch: MicrobatchView, epoch: Int,
        into gradient: UnsafeMutablePointer<Float>, clock: @escaping () -> Int64,
        times: inout [Int64]
    ) -> BatchStatistics

    /// The bare convolution primitives of `tileCount` tiles and nothing else, on whatever lies in
    /// the buffers: what no engine made of them can beat.
    func runConvolutions(tileCount: Int, clock: @escaping () -> Int64, times: inout [Int64])
}

/// An engine whose time can be broken down.
public protocol ProfiledEngine: GradientEngine {
    /// Uses the engine's own buffers: not while the engine computes.
    func makeProfile() -> any EngineProfile
}

/// Times of parts that follow one another: each lap ends one and begins the next.
struct Stopwatch {
    /// The part that runs.
    var index = 0
    private let clock: () -> Int64
    private var begin: Int64

    init(clock: @escaping () -> Int64) {
        self.clock = clock
        begin = clock()
    }

    mutating func lap(_ times: inout [Int64]) {
        let end = clock()
        times[index] += end - begin
        begin = end
        index += 1
    }
}
