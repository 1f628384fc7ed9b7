/// The memory of a plan: its tensors, and the buffers of its stages.
///
/// Everything that a plan allocates is made here and counted, so the count cannot differ from it. A
/// plan without memory is made by the same code; it is counted before there is memory for it.
///
/// A value that the backward pass reads is kept for each tile, unless it belongs to the last
/// *stretch* of segments: there a tile, or a group of tiles, runs forward and back before the next one
/// begins. The memory of a gradient that is kept is used again for another one, in a lower segment,
/// once it was read.
final class NativeMemory {
    /// The number of tiles of a group. Weights that are wider than a cache are read once a group.
    static let groupSize = 4

    private let order: SegmentOrder
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
    ///   - order: the segments and the order in which they run.
    ///   - hasMemory: whether memory is allocated; otherwise it is only counted.
    init(_ order: SegmentOrder, hasMemory: Bool) {
        self.order = order
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
    var keepsTiles: Bool { order.slots(madeIn: segment) != .one }

    /// Whether stages of the segment run on groups of tiles.
    var isWide: Bool { order.isWide(segment) }

    /// Returns a tensor that the backward pass reads, with this number of elements.
    func kept(_ elementCount: Int) -> LaneTensor {
        make(elementCount, order.slots(madeIn: segment))
    }

    /// Returns a tensor for a gradient that is made in a segment, and read last in another one or in
    /// the same.
    func gradient(_ elementCount: Int, readIn floor: Int, segment: Int) -> LaneTensor {
        let slots = order.slots(madeIn: segment, readIn: floor)
        let place = idle.firstIndex {
            slots != .one && $0.tensor.slots == slots && $0.tensor.elementCount == elementCount
                && $0.segment > segment
        }
        if let place { return idle.remove(at: place).tensor }
        return make(elementCount, slots)
    }

    /// Returns a tensor for a gradient that nothing reads.
    func spare(_ elementCount: Int) -> LaneTensor { make(elementCount, .one) }

    /// Notes that a stage will read a gradient.
    func use(_ tensor: LaneTensor) { useCounts[ObjectIdentifier(tensor), default: 0] += 1 }

    /// Notes that a stage has read a gradient, in this segment.
    func release(_ tensor: LaneTensor, segment: Int) {
        let key = ObjectIdentifier(tensor)
        let left = (useCounts[key] ?? 1) - 1
        useCounts[key] = left
        if left == 0, tensor.slots != .one { idle.append((tensor, segment)) }
    }

    private func make(_ elementCount: Int, _ slots: TileSlots) -> LaneTensor {
        let tensor = LaneTensor(elementCount, slots: slots, hasMemory: hasMemory)
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
