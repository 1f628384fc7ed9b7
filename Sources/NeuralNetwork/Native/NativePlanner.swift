/// A planner works out the stages, tensors and segments of a network.
///
/// A *segment* holds the nodes between two points that need the whole microbatch. A batch
/// normalisation ends the segment of its input: its moments are known once all tiles have run that
/// far. A value's segment follows from the graph alone: it is the highest segment of its node's
/// inputs, and one more for the output of a batch normalisation.
/// A *wide* segment holds a node whose weights exceed a cache. It begins with that node unless a node
/// before it is wide too. Each of its stages runs on a group of tiles before the next stage does, so
/// that the weights are read once a group. See ``SegmentOrder``.
final class NativePlanner {
    /// A stage with its place in the order of work.
    struct Entry {
        let stage: any NativeStage
        let segment: Int
        /// The values that the stage reads. Flattened values stand for the values that they
        /// flatten. Numbers beyond those of the nodes are normalised values; see
        /// ``appendBatchNorm(_:_:)``.
        let inputs: [Int]
        /// The value that the stage computes.
        let output: Int
    }

    let network: Network
    let memory: NativeMemory
    private let wantsImageGradient: Bool
    private var entries: [[Entry]]
    /// The work between each segment and the next one.
    private(set) var forwardBarriers: [[NativeBarrier]]
    private(set) var backwardBarriers: [[NativeBarrier]]
    /// The value that each value is another shape of; itself for most.
    private var roots: [Int]
    private var readers: [[Node]]
    /// The segment of each value.
    private var segments: [Int]
    /// The segment of each node.
    private let homes: [Int]
    let order: SegmentOrder
    /// Whether the gradient of each value is wanted.
    private var isWanted: [Bool]
    /// The tensor of each value.
    private(set) var tensors: [LaneTensor?]
    private var computed: Set<Int> = []
    /// The batch normalisations whose second half is computed with a later sum, by the index of the
    /// sum's node.
    private var pending: [Int: NativeMomentsStage] = [:]

    /// Plans the stages of a network.
    ///
    /// - Parameters:
    ///   - network: the network.
    ///   - wantsImageGradient: whether the gradient of the images is computed too.
    ///   - wideFrom: the number of weights from which on a node is wide.
    ///   - hasMemory: whether memory is allocated; otherwise it is only counted.
    /// - Throws: ``BackendError`` that names a node that this backend does not compute.
    init(
        _ network: Network, wantsImageGradient: Bool, wideFrom: Int, hasMemory: Bool
    ) throws(BackendError) {
        try NativeBackend().require(network)
        self.network = network
        self.wantsImageGradient = wantsImageGradient
        let valueCount = network.nodes.count + 1
        var roots = Array(0..<valueCount)
        var readers = [[Node]](repeating: [], count: valueCount)
        var segments = [Int](repeating: 0, count: valueCount)
        var homes = [Int](repeating: 0, count: network.nodes.count)
        var occupied: Set<Int> = []
        var ends: Set<Int> = []
        var wideSegments: Set<Int> = []
        for node in network.nodes {
            if node.layer is Flatten { roots[node.output] = roots[node.inputs[0]] }
            let inputs = node.inputs.map { roots[$0] }
            if !(node.layer is Flatten) {
                for input in Set(inputs) { readers[input].append(node) }
            }
            var segment = inputs.map { segments[$0] }.max()!
            let weightCount = network.slot(.weight, of: node)?.elementCount ?? 0
            if weightCount >= wideFrom, !wideSegments.contains(segment) {
                if occupied.contains(segment) { segment += 1 }
                wideSegments.insert(segment)
            }
            homes[node.index] = segment
            segments[node.output] = segment
            if !(node.layer is Flatten) { occupied.insert(segment) }
            if node.layer is BatchNorm, !network.hasFrozenStatistics(node) {
                segments[node.output] += 1
                ends.insert(segment)
                occupied.insert(segment + 1)
            }
        }
        self.roots = roots
        self.readers = readers
        self.segments = segments
        self.homes = homes
        isWanted = network.gradientsNeeded(ofImages: wantsImageGradient)
        let last = segments.max() ?? 0
        entries = Array(repeating: [], count: last + 1)
        forwardBarriers = Array(repeating: [], count: last)
        backwardBarriers = forwardBarriers
        tensors = Array(repeating: nil, count: valueCount)
        order = SegmentOrder(count: last + 1, ends: ends, wide: wideSegments)
        memory = NativeMemory(order, hasMemory: hasMemory)
        tensors[0] = memory.kept(network.inputElementCount)
        for node in network.nodes {
            if let moments = pending[node.index] { appendNormalize(moments, node) }
            if computed.contains(node.index) { continue }
            guard let layer = node.layer as? any NativeLayer else {
                preconditionFailure("\(node.name) is no native layer")
            }
            layer.plan(node, in: self)
        }
    }

    /// The number of segments.
    var segmentCount: Int { entries.count }

    /// The stages in the order of work, with those of each segment together.
    var stages: [[Entry]] { entries }

    /// The value that the network gives.
    var outputValue: Int { roots[network.nodes.count] }

    /// Returns the only node that reads a node's output, or nil where several do, or where the
    /// output is that of the network.
    func soleReader(of node: Node) -> Node? {
        let value = roots[node.output]
        return readers[value].count == 1 && value != outputValue && value == node.output
            ? readers[value][0] : nil
    }

    private func segment(of node: Node) -> Int { homes[node.index] }

    private func tensor(of value: Int) -> LaneTensor {
        guard let tensor = tensors[roots[value]] else {
            preconditionFailure("a node of \(network.specification.name) reads a later one")
        }
        return tensor
    }

    /// Adds the stage that computes a node.
    ///
    /// - Parameters:
    ///   - node: the node.
    ///   - last: the node whose output the stage gives, where it computes nodes after `node` too.
    ///   - inPlace: whether the stage can write over its input. It does where no other node reads
    ///     that.
    ///   - make: makes the stage from its inputs, its output, and whether the gradient of the first
    ///     input is wanted.
    func append(
        _ node: Node, as last: Node? = nil, inPlace: Bool = false,
        _ make: ([LaneTensor], LaneTensor, Bool) -> any NativeStage
    ) {
        let last = last ?? node
        var covered = node
        computed.insert(node.index)
        while covered.index != last.index, let next = soleReader(of: covered) {
            computed.insert(next.index)
            covered = next
        }
        let segment = segment(of: node)
        memory.segment = segment
        let inputs = node.inputs.map { roots[$0] }
        let isAlone =
            inPlace && readers[inputs[0]].count == 1 && inputs[0] != outputValue
        let output = isAlone ? tensor(of: inputs[0]) : memory.kept(last.outputElementCount)
        let stage = make(inputs.map { tensor(of: $0) }, output, isWanted[inputs[0]])
        tensors[last.output] = output
        entries[segment].append(
            Entry(stage: stage, segment: segment, inputs: inputs, output: last.output))
    }

    /// Adds the two halves of a batch normalisation. They hand on a *normalised value*, which has a
    /// gradient and no tensor. The second half is computed with the sum and the ReLU that follow. It
    /// needs the whole microbatch, unless the statistics are frozen.
    func appendBatchNorm(_ node: Node, _ moments: NativeMoments) {
        let segment = segment(of: node)
        memory.segment = segment
        let input = roots[node.inputs[0]]
        let stage = NativeMomentsStage(moments, input: tensor(of: input))
        let normalized = roots.count
        roots.append(normalized)
        tensors.append(nil)
        segments.append(segment)
        isWanted.append(isWanted[node.output])
        entries[segment].append(
            Entry(stage: stage, segment: segment, inputs: [input], output: normalized))
        if !moments.areStatisticsFrozen {
            forwardBarriers[segment].append(
                NativeBarrier(node: node) { moments.finishMoments($0) })
            if isWanted[node.output] {
                backwardBarriers[segment].append(
                    NativeBarrier(node: node, finishes: true) { moments.finishGradient($0) })
            }
        }
        computed.insert(node.index)
        if let sum = soleReader(of: node), sum.layer is Add, sum.inputs.count == 2,
            roots[sum.inputs[0]] != roots[sum.inputs[1]], pending[sum.index] == nil
        {
            pending[sum.index] = stage
        } else {
            appendNormalize(stage, node)
        }
    }

    /// Adds the second half of a batch normalisation.
    ///
    /// - Parameter node: the normalisation, or the sum that is computed with it.
    private func appendNormalize(_ stage: NativeMomentsStage, _ node: Node) {
        pending[node.index] = nil
        let source = stage.node
        guard
            let first = entries.joined().first(where: { $0.stage === stage })
        else { return }
        computed.insert(node.index)
        var skip: Int?
        if node.index != source.index {
            skip = node.inputs.map { roots[$0] }.first { $0 != roots[source.output] }
        }
        var last = node
        if let relu = soleReader(of: node), relu.layer is ReLU {
            computed.insert(relu.index)
            last = relu
        }
        let segment = max(segments[source.output], skip.map { segments[$0] } ?? 0)
        memory.segment = segment
        let output = memory.kept(last.outputElementCount)
        tensors[last.output] = output
        let second = NativeNormalize(
            stage.moments, input: tensor(of: first.inputs[0]), skip: skip.map { tensor(of: $0) },
            output: output, hasReLU: last.layer is ReLU)
        entries[segment].append(
            Entry(
                stage: second, segment: segment, inputs: [first.output] + (skip.map { [$0] } ?? []),
                output: last.output))
    }

    // MARK: Backward

    /// The backward pass.
    struct Backward {
        /// The operations of each segment, with the names of their nodes.
        var operations: [[(node: Node, operation: NativeOperation)]]
        /// The gradient of the outputs.
        var outputGradient: LaneTensor
        /// The gradient of the images; nil where it is not wanted.
        var imageGradient: LaneTensor?
    }

    /// The gradient of a value, as far as its readers have given it.
    private struct Gradient {
        var tensor: LaneTensor
        /// Whether another stage will read the tensor too.
        var isShared: Bool
    }

    /// Plans the backward pass: the stages in reverse order.
    ///
    /// Where several stages read a value, their parts of its gradient are added in this order.
    /// - Parameter finish: returns operations on a gradient that a stage has given.
    func planBackward(
        _ finish: (LaneTensor) -> [NativeOperation]
    ) -> Backward {
        let floors = floors()
        var gradients: [Int: Gradient] = [:]
        let lastSegment = segmentCount - 1
        let outputGradient = memory.gradient(
            network.outputElementCount, readIn: floors[outputValue], segment: lastSegment)
        memory.use(outputGradient)
        gradients[outputValue] = Gradient(tensor: outputGradient, isShared: false)
        var operations: [[(node: Node, operation: NativeOperation)]] = Array(
            repeating: [], count: segmentCount)
        for entry in entries.joined().reversed() {
            let node = entry.stage.node
            let segment = entry.segment
            guard var here = gradients[entry.output],
                network.isTrained(node) || entry.inputs.contains(where: { isWanted[$0] })
            else { continue }
            func fresh(_ value: Int, _ count: Int) -> LaneTensor {
                memory.gradient(count, readIn: min(floors[value], segment), segment: segment)
            }
            if here.isShared, entry.stage.changesOutputGradient {
                let (from, copy) = (here.tensor, fresh(entry.output, here.tensor.elementCount))
                operations[segment].append(
                    (
                        node,
                        NativeOperation("copy", byteCount: 2 * copy.byteCount) { tile in
                            copy.at(tile).update(from: from.at(tile), count: copy.floatCount)
                        }
                    ))
                memory.use(copy)
                memory.release(from, segment: segment)
                here = Gradient(tensor: copy, isShared: false)
            }
            var given = NativeGradients(
                output: here.tensor, isShared: here.isShared,
                isWanted: entry.inputs.map { isWanted[$0] },
                make: { input in
                    let value = entry.inputs[input]
                    return fresh(value, self.elementCount(of: value))
                },
                spare: { self.memory.spare($0) },
                inputs: Array(repeating: nil, count: entry.inputs.count))
            operations[segment] += entry.stage.backward(&given).map { (node, $0) }
            let parts = given.inputs.compactMap(\.self)
            for part in Self.unique(parts) {
                operations[segment] += finish(part).map { (node, $0) }
            }
            for part in parts { memory.use(part) }
            let passCount = parts.count { $0 === here.tensor }
            for (value, part) in zip(entry.inputs, given.inputs) {
                guard let part else { continue }
                let isShared = part === here.tensor && (here.isShared || passCount > 1)
                let next = Gradient(tensor: part, isShared: isShared)
                guard let earlier = gradients[value] else {
                    gradients[value] = next
                    continue
                }
                let target =
                    !earlier.isShared
                    ? earlier.tensor
                    : !next.isShared ? next.tensor : fresh(value, part.elementCount)
                operations[segment].append(
                    (
                        node,
                        NativeOperation("add gradients", byteCount: 3 * target.byteCount) {
                            [first = earlier.tensor] tile in
                            FlatVector.add(
                                first.at(tile), part.at(tile), into: target.at(tile),
                                count: target.floatCount)
                        }
                    ))
                operations[segment] += finish(target).map { (node, $0) }
                memory.use(target)
                memory.release(earlier.tensor, segment: segment)
                memory.release(part, segment: segment)
                gradients[value] = Gradient(tensor: target, isShared: false)
            }
            memory.release(here.tensor, segment: segment)
            gradients[entry.output] = nil
        }
        return Backward(
            operations: operations, outputGradient: outputGradient,
            imageGradient: wantsImageGradient ? gradients[0]?.tensor : nil)
    }

    private func elementCount(of value: Int) -> Int {
        if let tensor = tensors[value] { return tensor.elementCount }
        // A normalised value has the shape of its normalisation's input.
        let entry = entries.joined().first { $0.output == value }
        return entry.flatMap { tensors[$0.inputs[0]] }?.elementCount ?? 0
    }

    /// Returns, for each value, the lowest segment in which the tensor of its gradient is read.
    private func floors() -> [Int] {
        var floors = segments
        for entry in entries.joined() {
            floors[entry.output] = entry.segment
            if entry.stage.passesGradient {
                for input in entry.inputs {
                    floors[entry.output] = min(floors[entry.output], floors[input])
                }
            }
        }
        return floors
    }

    private static func unique(_ tensors: [LaneTensor]) -> [LaneTensor] {
        var result: [LaneTensor] = []
        for tensor in tensors where !result.contains(where: { $0 === tensor }) {
            result.append(tensor)
        }
        return result
    }
}
