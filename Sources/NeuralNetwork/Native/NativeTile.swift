/// The facts about one pass over one tile that its operations need.
struct NativeTile {
    /// The key of the dropout masks; nil where nothing is dropped.
    var dropout: DropoutKey?
    /// Whether normalisations use the statistics of the microbatch; otherwise they use the running
    /// ones.
    var usesBatchStatistics = false
    /// The number of images in the tile, at most eight.
    var count = AlignedBuffer.lanes
    /// The tile's index in tensors that hold a value for each tile of the microbatch.
    var slot = 0
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
    /// Whether the gradients of the node's tensors are final once this has run on the last tile.
    var finishes: Bool
    private let work: Work

    private enum Work {
        case oneByOne((NativeTile) -> Void)
        case together((ArraySlice<NativeTile>) -> Void)
    }

    /// Creates an operation that runs on one tile after another.
    init(
        _ name: String, isConvolution: Bool = false, byteCount: Int, finishes: Bool = false,
        run: @escaping (NativeTile) -> Void
    ) {
        self.name = name
        self.isConvolution = isConvolution
        self.byteCount = byteCount
        self.finishes = finishes
        work = .oneByOne(run)
    }

    /// Creates an operation that reads its weights once for all tiles that it is given. The bits are
    /// those of one tile after another.
    init(
        _ name: String, isConvolution: Bool = false, byteCount: Int, finishes: Bool = false,
        runAll: @escaping (ArraySlice<NativeTile>) -> Void
    ) {
        self.name = name
        self.isConvolution = isConvolution
        self.byteCount = byteCount
        self.finishes = finishes
        work = .together(runAll)
    }

    /// Runs on tiles, in their order.
    func run(_ tiles: ArraySlice<NativeTile>) {
        switch work {
        case .oneByOne(let run): for tile in tiles { run(tile) }
        case .together(let run): run(tiles)
        }
    }
}

/// Work between two segments, once for a microbatch.
struct NativeBarrier {
    /// What the microbatch as a whole needs.
    struct Batch {
        /// The number of images.
        var count: Int
        /// The flat gradient.
        var gradient: UnsafeMutablePointer<Float>
    }
    let node: Node
    /// Whether the gradients of the node's tensors are final once this has run.
    var finishes = false
    let run: (Batch) -> Void
}

/// The tiles of a microbatch that have memory of their own in a tensor.
enum TileSlots {
    /// All tiles share the memory.
    case one
    /// A group of tiles has memory, which the next group takes over.
    case group
    /// Every tile.
    case every

    /// Returns the number of tiles that there is memory for.
    func count(tiles: Int) -> Int {
        switch self {
        case .one: 1
        case .group: min(tiles, NativeMemory.groupSize)
        case .every: tiles
        }
    }

    /// Returns the place of a tile's memory.
    func slot(of tile: NativeTile) -> Int {
        switch self {
        case .one: 0
        case .group: tile.slot % NativeMemory.groupSize
        case .every: tile.slot
        }
    }
}

/// A lane tensor [elements, 8]: of one tile, of a group of tiles, or of every tile of a microbatch.
final class LaneTensor {
    /// The number of elements for one image.
    let elementCount: Int
    /// The tiles that have memory of their own.
    let slots: TileSlots
    private var buffer: AlignedBuffer

    /// Creates a tensor of zeros. ``NativeMemory`` makes all tensors of a plan.
    ///
    /// A tensor with a value for each tile has no memory before ``reserve(_:)``: memory for one tile
    /// that is replaced by memory for several would stay in the heap.
    init(_ elementCount: Int, slots: TileSlots, hasMemory: Bool) {
        self.elementCount = elementCount
        self.slots = slots
        buffer = AlignedBuffer(
            byteCount: elementCount * AlignedBuffer.laneByteCount,
            hasMemory: hasMemory && slots == .one)
    }

    /// The bytes of one tile.
    var byteCount: Int { elementCount * AlignedBuffer.laneByteCount }

    /// The number of floats of one tile.
    var floatCount: Int { elementCount * AlignedBuffer.lanes }

    /// The bytes that are allocated for a number of tiles.
    func allocatedByteCount(tiles: Int) -> Int {
        AlignedBuffer.allocatedByteCount(byteCount * slots.count(tiles: tiles))
    }

    /// Makes room for this number of tiles. What the tensor held is lost.
    func reserve(_ tiles: Int) {
        if slots != .one {
            buffer = AlignedBuffer(byteCount: byteCount * slots.count(tiles: tiles))
        }
    }

    /// Returns the elements of a tile.
    func at(_ tile: NativeTile) -> UnsafeMutablePointer<Float> {
        buffer.floats + slots.slot(of: tile) * floatCount
    }

    /// Returns the elements of a tile as integers.
    func integers(_ tile: NativeTile) -> UnsafeMutablePointer<Int32> {
        buffer.integers + slots.slot(of: tile) * floatCount
    }
}

/// A stage is a node of the graph, or several nodes that are computed as one.
///
/// Threading: a stage belongs to the thread that owns its engine.
protocol NativeStage: AnyObject {
    /// The node that gives the stage its name and its parameters.
    var node: Node { get }
    /// Takes the stage's trained parameters from the flat parameter vector; nil for a stage without
    /// them.
    var load: ((UnsafePointer<Float>) -> Void)? { get }
    /// Takes the stage's statistics from the flat parameter vector; nil for a stage without them.
    var loadStatistics: ((UnsafePointer<Float>) -> Void)? { get }
    /// Writes the parameters and statistics in force to their places in the flat vector.
    func copyParameters(into flat: UnsafeMutablePointer<Float>)
    /// Whether the backward pass changes the gradient of the output.
    var changesOutputGradient: Bool { get }
    /// Whether the backward pass may give the tensor of the output's gradient for that of an input.
    var passesGradient: Bool { get }
    /// Returns the operations of the forward pass, in order.
    func forward() -> [NativeOperation]
    /// Returns the operations of the backward pass, in order, and the gradients of the inputs.
    ///
    /// - Parameter gradients: the gradient of the output, and memory for those of the inputs.
    func backward(_ gradients: inout NativeGradients) -> [NativeOperation]
}

extension NativeStage {
    var passesGradient: Bool { false }
    var load: ((UnsafePointer<Float>) -> Void)? { nil }
    var loadStatistics: ((UnsafePointer<Float>) -> Void)? { nil }
    func copyParameters(into flat: UnsafeMutablePointer<Float>) {}
}

/// The gradients that a stage's backward pass reads and gives.
struct NativeGradients {
    /// The gradient of the output.
    let output: LaneTensor
    /// Whether another stage reads the gradient of the output too.
    let isShared: Bool
    /// For each input of the stage, whether its gradient is wanted.
    let isWanted: [Bool]
    /// Makes a tensor for the gradient of an input, with that input's number of elements.
    let make: (_ input: Int) -> LaneTensor
    /// Makes a tensor with a number of elements, for a gradient that is computed and not wanted.
    let spare: (_ elementCount: Int) -> LaneTensor
    /// The gradients of the inputs. A stage sets those that are wanted. It may give the tensor of
    /// the output's gradient for one input or for several.
    var inputs: [LaneTensor?]

    /// Returns a tensor for the gradient of an input, and notes it; nil where it is not wanted.
    mutating func input(_ input: Int = 0) -> LaneTensor? {
        guard isWanted[input] else { return nil }
        let tensor = make(input)
        inputs[input] = tensor
        return tensor
    }

    /// Gives the gradient of the output for the gradient of an input, if that is wanted.
    mutating func pass(to input: Int = 0) {
        if isWanted[input] { inputs[input] = output }
    }
}
