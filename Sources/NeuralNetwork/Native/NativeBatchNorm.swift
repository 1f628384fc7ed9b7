import CKernels

/// The numbers of one batch normalisation for a microbatch.
///
/// The segment of the input computes the moments of each tile, which are merged in tile order by the
/// formula of Chan, Golub and LeVeque (1979), in double precision. A later segment normalises by
/// y = a · x + b, with a and b rounded once. In the backward pass the later segment adds up two
/// sums, and the earlier one computes the gradient of x from them.
///
/// Safety: the two buffers, of numbers for each channel, live as long as the object.
final class NativeMoments {
    let node: Node
    let channels: Int
    let positions: Int
    private let epsilon: Double
    /// Scale, shift, running mean and running variance, in this order.
    private let slots: [ParameterSlot]
    /// Whether the running statistics are those of every microbatch.
    let areStatisticsFrozen: Bool
    private let singles: AlignedBuffer
    private let pairs: AlignedBuffer
    /// The number of values of a channel that were merged.
    private var valueCount = 0.0
    /// Whether a and b were made of the running statistics in force.
    private var isPreparedForInference = false

    init(_ node: Node, _ layer: BatchNorm, in planner: NativePlanner) {
        self.node = node
        channels = node.inputShape[0]
        positions = node.inputElementCount / node.inputShape[0]
        epsilon = layer.epsilon
        slots = node.slots.map { planner.network.parameters.slots[$0] }
        areStatisticsFrozen = planner.network.hasFrozenStatistics(node)
        singles = planner.memory.buffer(byteCount: 10 * channels * MemoryLayout<Float>.size)
        pairs = planner.memory.buffer(byteCount: 6 * channels * MemoryLayout<Double>.size)
    }

    private var floats: UnsafeMutablePointer<Float> { singles.floats }
    private var doubles: UnsafeMutablePointer<Double> {
        pairs.bytes.assumingMemoryBound(to: Double.self)
    }

    private var scale: UnsafeMutablePointer<Float> { floats }
    private var shift: UnsafeMutablePointer<Float> { floats + channels }
    private var runningMean: UnsafeMutablePointer<Float> { floats + 2 * channels }
    private var runningVariance: UnsafeMutablePointer<Float> { floats + 3 * channels }
    /// The factors of y = a · x + b.
    var factors: UnsafeMutablePointer<Float> { floats + 4 * channels }
    /// The numbers to add of y = a · x + b.
    var offsets: UnsafeMutablePointer<Float> { floats + 5 * channels }
    /// The means, rounded to single precision.
    var roundedMeans: UnsafeMutablePointer<Float> { floats + 6 * channels }
    /// The numbers of the gradient of x: a · gradient + (b · x + c).
    var gradientNumbers:
        (a: UnsafeMutablePointer<Float>, b: UnsafeMutablePointer<Float>, c: UnsafeMutablePointer<Float>)
    { (floats + 7 * channels, floats + 8 * channels, floats + 9 * channels) }

    private var mean: UnsafeMutablePointer<Double> { doubles }
    private var squares: UnsafeMutablePointer<Double> { doubles + channels }
    private var tileFirst: UnsafeMutablePointer<Double> { doubles + 2 * channels }
    private var tileSecond: UnsafeMutablePointer<Double> { doubles + 3 * channels }
    private var sum: UnsafeMutablePointer<Double> { doubles + 4 * channels }
    private var product: UnsafeMutablePointer<Double> { doubles + 5 * channels }

    func load(_ flat: UnsafePointer<Float>) {
        scale.update(from: flat + slots[0].offset, count: channels)
        shift.update(from: flat + slots[1].offset, count: channels)
        isPreparedForInference = false
    }

    func loadStatistics(_ flat: UnsafePointer<Float>) {
        runningMean.update(from: flat + slots[2].offset, count: channels)
        runningVariance.update(from: flat + slots[3].offset, count: channels)
        isPreparedForInference = false
    }

    func copyParameters(into flat: UnsafeMutablePointer<Float>) {
        for (index, slot) in slots.enumerated() {
            (flat + slot.offset).update(from: floats + index * channels, count: channels)
        }
    }

    /// Merges the moments of a tile of x.
    func merge(_ x: UnsafePointer<Float>, _ tile: NativeTile) {
        isPreparedForInference = false
        convoy_lanes_moments(x, channels, positions, tile.count, tileFirst, tileSecond)
        let here = Double(positions * tile.count)
        if tile.isFirst {
            valueCount = here
            mean.update(from: tileFirst, count: channels)
            squares.update(from: tileSecond, count: channels)
            return
        }
        let all = valueCount + here
        for channel in 0..<channels {
            let distance = tileFirst[channel] - mean[channel]
            mean[channel] += distance * here / all
            squares[channel] += tileSecond[channel] + distance * distance * valueCount * here / all
        }
        valueCount = all
    }

    /// Computes a and b of the microbatch, and writes its statistics times the number of images to
    /// the flat gradient. With one value a channel the running statistics count as those of the
    /// microbatch, so that they stay.
    func finishMoments(_ batch: NativeBarrier.Batch) {
        let count = Double(batch.count)
        for channel in 0..<channels {
            setAffine(channel, mean[channel], squares[channel] / valueCount)
            // One value has no variance: the running statistics stay.
            let isKnown = valueCount > 1
            let mean = isKnown ? mean[channel] : Double(runningMean[channel])
            let variance =
                isKnown
                ? squares[channel] / (valueCount - 1) : Double(runningVariance[channel])
            batch.gradient[slots[2].offset + channel] = Float(count * mean)
            batch.gradient[slots[3].offset + channel] = Float(count * variance)
        }
    }

    /// Computes a and b of the running statistics, unless they are there. Where these are frozen,
    /// they also give the numbers of the gradient of x.
    func prepareInference() {
        guard !isPreparedForInference else { return }
        isPreparedForInference = true
        let (a, b, c) = gradientNumbers
        for channel in 0..<channels {
            setAffine(channel, Double(runningMean[channel]), Double(runningVariance[channel]))
            guard areStatisticsFrozen else { continue }
            (a[channel], b[channel], c[channel]) = (factors[channel], 0, 0)
        }
    }

    private func setAffine(_ channel: Int, _ mean: Double, _ variance: Double) {
        let factor = Double(scale[channel]) / (variance + epsilon).squareRoot()
        factors[channel] = Float(factor)
        offsets[channel] = Float(Double(shift[channel]) - mean * factor)
        roundedMeans[channel] = Float(mean)
    }

    /// Adds up the sums of a tile's gradient. With `output`, that of a ReLU, the ReLU's mask is
    /// applied to the gradient first.
    func addGradient(
        _ gradient: UnsafeMutablePointer<Float>, output: UnsafePointer<Float>?,
        x: UnsafePointer<Float>, _ tile: NativeTile
    ) {
        convoy_lanes_norm_gradient_sums(
            gradient, output, x, roundedMeans, channels, positions, tileFirst, tileSecond)
        for channel in 0..<channels {
            sum[channel] = (tile.isFirst ? 0 : sum[channel]) + tileFirst[channel]
            product[channel] = (tile.isFirst ? 0 : product[channel]) + tileSecond[channel]
        }
    }

    /// Writes the gradients of scale and shift, and computes the numbers of the gradient of x.
    func finishGradient(_ batch: NativeBarrier.Batch) {
        let (a, b, c) = gradientNumbers
        for channel in 0..<channels {
            let inverse = 1 / (squares[channel] / valueCount + epsilon).squareRoot()
            // The kernel measured distances from the rounded mean.
            let product =
                product[channel]
                - (mean[channel] - Double(roundedMeans[channel])) * sum[channel]
            batch.gradient[slots[0].offset + channel] = Float(product * inverse)
            batch.gradient[slots[1].offset + channel] = Float(sum[channel])
            let factor = Double(scale[channel]) * inverse
            let slope = -factor * inverse * inverse * product / valueCount
            a[channel] = Float(factor)
            b[channel] = Float(slope)
            c[channel] = Float(-factor * sum[channel] / valueCount - slope * mean[channel])
        }
    }

    /// Writes the gradients of scale and shift where mean and variance do not depend on x.
    func finishFrozenGradient(_ gradient: UnsafeMutablePointer<Float>) {
        for channel in 0..<channels {
            let inverse = 1 / (Double(runningVariance[channel]) + epsilon).squareRoot()
            gradient[slots[0].offset + channel] = Float(product[channel] * inverse)
            gradient[slots[1].offset + channel] = Float(sum[channel])
        }
    }
}

/// The first half of a batch normalisation: the moments of its input.
final class NativeMomentsStage: NativeStage {
    let moments: NativeMoments
    private let input: LaneTensor
    let changesOutputGradient = false
    let passesGradient = true

    var node: Node { moments.node }

    init(_ moments: NativeMoments, input: LaneTensor) {
        self.moments = moments
        self.input = input
    }

    var load: ((UnsafePointer<Float>) -> Void)? {
        { [unowned self] flat in moments.load(flat) }
    }

    var loadStatistics: ((UnsafePointer<Float>) -> Void)? {
        { [unowned self] flat in moments.loadStatistics(flat) }
    }

    func copyParameters(into flat: UnsafeMutablePointer<Float>) {
        moments.copyParameters(into: flat)
    }

    func forward() -> [NativeOperation] {
        if moments.areStatisticsFrozen { return [] }
        return [
            NativeOperation("moments", byteCount: input.byteCount) { [unowned self] tile in
                guard tile.usesBatchStatistics else { return }
                moments.merge(input.at(tile), tile)
            }
        ]
    }

    /// Returns the operation that computes the gradient of the input. Where nothing else reads the
    /// gradient of the output, it is computed in its place.
    func backward(_ gradients: inout NativeGradients) -> [NativeOperation] {
        let gradient = gradients.output
        guard gradients.isWanted[0] else { return [] }
        if !gradients.isShared { gradients.pass() }
        let inputGradient = gradients.isShared ? gradients.input() : gradient
        return [
            NativeOperation("batch-norm", byteCount: 3 * input.byteCount) {
                [unowned self] tile in
                guard let inputGradient else { return }
                let (a, b, c) = moments.gradientNumbers
                convoy_lanes_norm_gradient(
                    gradient.at(tile), input.at(tile), a, b, c, inputGradient.at(tile),
                    moments.channels, moments.positions, tile.count)
            }
        ]
    }
}

/// The second half of a batch normalisation: y = a · x + b, with the sum and the ReLU that follow.
///
/// Its first input is the normalisation's own, whose gradient it gives as that of the normalised
/// values. Its second input, if there is one, is added.
final class NativeNormalize: NativeStage {
    private let moments: NativeMoments
    private let input: LaneTensor
    private let skip: LaneTensor?
    private let output: LaneTensor
    private let hasReLU: Bool

    var node: Node { moments.node }
    var changesOutputGradient: Bool { hasReLU }
    let passesGradient = true

    init(
        _ moments: NativeMoments, input: LaneTensor, skip: LaneTensor?, output: LaneTensor,
        hasReLU: Bool
    ) {
        self.moments = moments
        self.input = input
        self.skip = skip
        self.output = output
        self.hasReLU = hasReLU
    }

    private var name: String {
        ["batch-norm", skip == nil ? nil : "add", hasReLU ? "ReLU" : nil].compactMap(\.self)
            .joined(separator: ", ")
    }

    func forward() -> [NativeOperation] {
        [
            NativeOperation(
                name, byteCount: input.byteCount + output.byteCount + (skip?.byteCount ?? 0)
            ) { [unowned self] tile in
                if !tile.usesBatchStatistics || moments.areStatisticsFrozen {
                    moments.prepareInference()
                }
                convoy_lanes_affine(
                    input.at(tile), skip?.at(tile), moments.factors, moments.offsets,
                    output.at(tile), moments.channels, moments.positions, tile.count,
                    hasReLU ? 1 : 0)
            }
        ]
    }

    func backward(_ gradients: inout NativeGradients) -> [NativeOperation] {
        let gradient = gradients.output
        gradients.pass(to: 0)
        if skip != nil { gradients.pass(to: 1) }
        return [
            NativeOperation(
                "\(name) sums", byteCount: 3 * output.byteCount,
                finishes: moments.areStatisticsFrozen
            ) { [unowned self] tile in
                moments.addGradient(
                    gradient.at(tile), output: hasReLU ? UnsafePointer(output.at(tile)) : nil,
                    x: input.at(tile), tile)
                guard moments.areStatisticsFrozen, tile.isLast, let flat = tile.gradient else {
                    return
                }
                moments.finishFrozenGradient(flat)
            }
        ]
    }
}

/// Group and layer normalisation, whose statistics are those of each image.
final class NativeGroupNorm: NativeStage {
    let node: Node
    let changesOutputGradient = false
    private let input: LaneTensor
    private let output: LaneTensor
    private let channels: Int
    private let groups: Int
    private let epsilon: Float
    private let scale: AlignedBuffer
    private let shift: AlignedBuffer
    private let mean: LaneTensor
    private let inverse: LaneTensor
    private let slots: [ParameterSlot]

    /// Creates the stage.
    ///
    /// - Parameter channels: the number of channels with a factor of their own: those of the input,
    ///   or its elements for layer normalisation.
    init(
        _ node: Node, channels: Int, groups: Int, epsilon: Double, input: LaneTensor,
        output: LaneTensor, network: Network, memory: NativeMemory
    ) {
        self.node = node
        self.input = input
        self.output = output
        self.channels = channels
        self.groups = groups
        self.epsilon = Float(epsilon)
        slots = node.slots.map { network.parameters.slots[$0] }
        scale = memory.buffer(byteCount: channels * 4)
        shift = memory.buffer(byteCount: channels * 4)
        mean = memory.kept(groups)
        inverse = memory.kept(groups)
    }

    private var positions: Int { input.elementCount / channels }

    var load: ((UnsafePointer<Float>) -> Void)? {
        { [unowned self] flat in
            scale.floats.update(from: flat + slots[0].offset, count: channels)
            shift.floats.update(from: flat + slots[1].offset, count: channels)
        }
    }

    func copyParameters(into flat: UnsafeMutablePointer<Float>) {
        (flat + slots[0].offset).update(from: scale.floats, count: channels)
        (flat + slots[1].offset).update(from: shift.floats, count: channels)
    }

    func forward() -> [NativeOperation] {
        [
            NativeOperation(
                node.specification.kind, byteCount: 2 * input.byteCount + output.byteCount
            ) { [unowned self] tile in
                convoy_lanes_group_norm(
                    input.at(tile), scale.floats, shift.floats, epsilon, output.at(tile),
                    mean.at(tile), inverse.at(tile), channels, groups, positions)
            }
        ]
    }

    func backward(_ gradients: inout NativeGradients) -> [NativeOperation] {
        let outputGradient = gradients.output
        let inputGradient = gradients.input() ?? gradients.spare(input.elementCount)
        return [
            NativeOperation(
                node.specification.kind, byteCount: 5 * input.byteCount,
                finishes: true
            ) { [unowned self] tile in
                guard let flat = tile.gradient else { return }
                convoy_lanes_group_norm_backward(
                    outputGradient.at(tile), input.at(tile), scale.floats, mean.at(tile),
                    inverse.at(tile), inputGradient.at(tile), flat + slots[0].offset,
                    flat + slots[1].offset, channels, groups, positions, tile.isFirst ? 0 : 1)
            }
        ]
    }
}
