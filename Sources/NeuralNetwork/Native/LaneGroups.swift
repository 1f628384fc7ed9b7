import CKernels

/// A group of output positions of a correlation that read the same places of the kernel.
///
/// Safety: the C structure borrows the arrays, which live as long as the object.
final class LaneGroup {
    private let taps: UnsafeMutableBufferPointer<Int32>
    private let weights: UnsafeMutableBufferPointer<Int32>
    private let sources: UnsafeMutableBufferPointer<Int32>
    private let targets: UnsafeMutableBufferPointer<Int32>
    let native: convoy_lane_group

    /// Creates a group.
    ///
    /// - Parameters:
    ///   - taps: for each kernel place that counts, the place and its offset from a source
    ///     position, in floats.
    ///   - positions: the offsets of source and target, in floats.
    ///   - kernelSize: the number of places of the whole kernel.
    init(
        taps: [(place: Int, offset: Int)], positions: [(source: Int, target: Int)], kernelSize: Int
    ) {
        self.taps = Self.copy(taps.map(\.offset))
        weights = Self.copy(taps.map(\.place))
        sources = Self.copy(positions.map(\.source))
        targets = Self.copy(positions.map(\.target))
        let isWhole = taps.map(\.place) == Array(0..<kernelSize)
        native = convoy_lane_group(
            taps: UnsafePointer(self.taps.baseAddress),
            weights: isWhole ? nil : UnsafePointer(weights.baseAddress), tap_count: taps.count,
            sources: UnsafePointer(sources.baseAddress),
            targets: UnsafePointer(targets.baseAddress), position_count: positions.count)
    }

    deinit { for buffer in [taps, weights, sources, targets] { buffer.deallocate() } }

    /// The bytes of the arrays.
    var byteCount: Int {
        [taps, weights, sources, targets].reduce(0) { $0 + $1.count * MemoryLayout<Int32>.size }
    }

    /// Returns the values in memory of their own. The caller frees it.
    static func copy(_ values: [Int]) -> UnsafeMutableBufferPointer<Int32> {
        let buffer = UnsafeMutableBufferPointer<Int32>.allocate(capacity: values.count)
        _ = buffer.initialize(from: values.map { Int32($0) })
        return buffer
    }
}

/// The way a kernel moves over an image, for the forward and the backward pass.
struct LaneWindow {
    /// The size of the images that the kernel reads, padding included.
    let input: Size2D
    let output: Size2D
    let kernel: Size2D
    let stride: Size2D
    let dilation: Size2D

    var kernelSize: Int { kernel.height * kernel.width }

    /// Returns the bytes of a convolution's tables.
    func byteCount(
        _ taps: UnsafeMutableBufferPointer<Int32>, _ untouched: [Int], _ groups: [LaneGroup]
    ) -> Int {
        taps.count * MemoryLayout<Int32>.size + untouched.count * MemoryLayout<Int>.size
            + groups.reduce(0) { $0 + $1.byteCount }
    }

    /// The window of a convolution's node.
    init(_ node: Node, _ moving: MovingWindow) {
        let (from, to, padding) = (node.inputShape, node.outputShape, node.padding)
        input = Size2D(
            height: from[1] + padding.top + padding.bottom,
            width: from[2] + padding.left + padding.right)
        output = Size2D(height: to[1], width: to[2])
        kernel = moving.size
        stride = moving.stride
        dilation = moving.dilation
    }

    /// Returns the offset of a kernel's place from a source position, in floats.
    private func tap(_ place: Int) -> Int {
        (place / kernel.width * dilation.height * input.width
            + place % kernel.width * dilation.width) * Int(CONVOY_LANES)
    }

    /// Returns the offsets of all places of a kernel over several channels, in floats.
    func taps(channels: Int) -> [Int] {
        let plane = input.height * input.width * Int(CONVOY_LANES)
        return (0..<channels * kernelSize).map { index in
            index / kernelSize * plane + tap(index % kernelSize)
        }
    }

    /// Returns one group: every output position, with the whole kernel.
    func forward() -> [LaneGroup] {
        let lanes = Int(CONVOY_LANES)
        let taps = (0..<kernelSize).map { ($0, tap($0)) }
        let positions = (0..<output.height * output.width).map { position in
            let (y, x) = (position / output.width, position % output.width)
            return (
                (y * stride.height * input.width + x * stride.width) * lanes, position * lanes
            )
        }
        return [LaneGroup(taps: taps, positions: positions, kernelSize: kernelSize)]
    }

    /// Returns every input position, grouped by the kernel places through which it reached an
    /// output. Positions at the edges have fewer such places, and so have all positions where the
    /// stride is above 1.
    ///
    /// - Returns: the groups, and the offsets of the input positions that reached no output, in
    ///   floats.
    func backward() -> (groups: [LaneGroup], untouched: [Int]) {
        struct Reach: Hashable {
            var rows: [Int]
            var columns: [Int]
        }
        let lanes = Int(CONVOY_LANES)
        func places(
            _ at: Int, _ kernel: Int, _ stride: Int, _ dilation: Int, _ count: Int
        ) -> [Int] {
            (0..<kernel).filter { place in
                let start = at - place * dilation
                return start >= 0 && start % stride == 0 && start / stride < count
            }
        }
        var members: [Reach: [Int]] = [:]
        var order: [Reach] = []
        var untouched: [Int] = []
        let rows = (0..<input.height).map {
            places($0, kernel.height, stride.height, dilation.height, output.height)
        }
        let columns = (0..<input.width).map {
            places($0, kernel.width, stride.width, dilation.width, output.width)
        }
        for position in 0..<input.height * input.width {
            let reach = Reach(
                rows: rows[position / input.width], columns: columns[position % input.width])
            if reach.rows.isEmpty || reach.columns.isEmpty {
                untouched.append(position * lanes)
                continue
            }
            if members[reach] == nil { order.append(reach) }
            members[reach, default: []].append(position)
        }
        let groups = order.map { reach -> LaneGroup in
            // Offsets are counted from the output that the first place leads to.
            let taps = reach.rows.flatMap { row in
                reach.columns.map { column in
                    let down = (reach.rows[0] - row) * dilation.height / stride.height
                    let right = (reach.columns[0] - column) * dilation.width / stride.width
                    return (
                        row * kernel.width + column, (down * output.width + right) * lanes
                    )
                }
            }
            let positions = members[reach, default: []].map { position in
                let y =
                    (position / input.width - reach.rows[0] * dilation.height) / stride.height
                let x =
                    (position % input.width - reach.columns[0] * dilation.width) / stride.width
                return ((y * output.width + x) * lanes, position * lanes)
            }
            return LaneGroup(taps: taps, positions: positions, kernelSize: kernelSize)
        }
        return (groups, untouched)
    }
}
