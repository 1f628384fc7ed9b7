/// The memory of a plan: its tensors, and the buffers of its stages.
///
/// Everything that a plan allocates is made here and counted, so the count cannot differ from it. A
/// plan without memory is made by the same code; it is counted before there is memory for it.
///
/// A value that the backward pass reads is kept for each tile, unless it belongs to the last
/// segment, and that runs tile by tile: there a tile runs forward and back before the next one
/// begins. The memory of a gradient that is kept for each tile is used again for another one, in a
/// lower segment, once it was read.
final class NativeMemory {
    /// The number of tiles of a group. Weights that are wider than a cache are read once a group.
    static let groupSize = 4

    private let lastSegment: Int
    /// The segments whose stages each run on a group of tiles before the next stage does.
    private let wideSegments: Set<Int>
    private let hasMemory: Bool
    /// The number of tiles that there is memory for.
    private var tileCount = 0
    /// The bytes of everything but tensors.
    private var otherByteCount = 0
    /// The segment that tensors are made for.
    var segment = 0
    private var tensors: [LaneTensor] = []
    private var useCounts: [ObjectIdentifier: Int] = [:]
    /// Gradients for each tile that nothing reads any more, and the segment that read them last.
    private var idle: [(tensor: LaneTensor, segment: Int)] = []

    /// Creates the memory of a plan.
    ///
    /// - Parameters:
    ///   - lastSegment: the index of the plan's last segment.
    ///   - wideSegments: the segments whose stages run on groups of tiles.
    ///   - hasMemory: whether memory is allocated; otherwise it is only counted.
    init(lastSegment: Int, wideSegments: Set<Int>, hasMemory: Bool) {
        self.lastSegment = lastSegment
        self.wideSegments = wideSegments
        self.hasMemory = hasMemory
    }

    /// Returns a buffer of zeros.
    func buffer(byteCount: Int) -> AlignedBuffer {
        otherByteCount += AlignedBuffer.allocatedByteCount(byteCount)
        return AlignedBuffer(byteCount: byteCount, hasMemory: hasMemory)
    }

    /// Returns a buffer of `laneCount` zeros for each of eight images.
    func buffer(laneCount: Int) -> AlignedBuffer {
        buffer(byteCount: laneCount * AlignedBuffer.laneByteCount)
    }

    /// Counts the bytes of tables that a stage makes itself.
    func note(tables byteCount: Int) { otherByteCount += byteCount }

    /// Whether other tiles run between the forward and the backward pass of a tile.
    var keepsTiles: Bool { segment < lastSegment || isWide }

    /// Whether stages of the segment run on groups of tiles.
    var isWide: Bool { wideSegments.contains(segment) }

    /// Returns a tensor that the backward pass reads, with this number of elements.
    func kept(_ elementCount: Int) -> LaneTensor { make(elementCount, isPerTile: keepsTiles) }

    /// Returns a tensor for a gradient that is made in a segment.
    func gradient(_ elementCount: Int, isPerTile: Bool, segment: Int) -> LaneTensor {
        let place = idle.firstIndex {
            isPerTile && $0.tensor.elementCount == elementCount && $0.segment > segment
        }
        if let place { return idle.remove(at: place).tensor }
        return make(elementCount, isPerTile: isPerTile)
    }

    /// Notes that a stage will read a gradient.
    func use(_ tensor: LaneTensor) { useCounts[ObjectIdentifier(tensor), default: 0] += 1 }

    /// Notes that a stage has read a gradient, in this segment.
    func release(_ tensor: LaneTensor, segment: Int) {
        let key = ObjectIdentifier(tensor)
        let left = (useCounts[key] ?? 1) - 1
        useCounts[key] = left
        if left == 0, tensor.isPerTile { idle.append((tensor, segment)) }
    }

    private func make(_ elementCount: Int, isPerTile: Bool) -> LaneTensor {
        let tensor = LaneTensor(elementCount, isPerTile: isPerTile, hasMemory: hasMemory)
        tensors.append(tensor)
        return tensor
    }

    /// Makes room for the tiles of a microbatch, where there is less. What tensors with a value for
    /// each tile held is lost then.
    func reserve(_ count: Int) {
        guard count > tileCount else { return }
        tileCount = count
        for tensor in tensors { tensor.reserve(count) }
    }

    /// The bytes for a microbatch of this number of tiles.
    func byteCount(tiles: Int) -> Int {
        tensors.reduce(otherByteCount) { $0 + $1.allocatedByteCount(tiles: tiles) }
    }
}
