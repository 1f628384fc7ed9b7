import NeuralNetwork

/// The memory behind a ``MicrobatchView``.
struct Microbatch {
    var images: [Float]
    var labels: [Int32]
    var records: [UInt64]

    var count: Int { labels.count }

    /// Creates `count` images in [0, 1) with the labels and records of Scripts/golden/training.py.
    init(_ network: Network, count: Int, firstRecord: UInt64 = 1000) {
        images = GoldenInput.values(count * network.inputElementCount, salt: 1).map { ($0 + 1) / 2 }
        labels = (0..<count).map { Int32((7 * $0 + 3) % network.outputElementCount) }
        records = (0..<count).map { firstRecord + UInt64($0) }
    }

    /// Returns the samples of a range.
    func slice(_ range: Range<Int>) -> Microbatch {
        var part = self
        let size = count == 0 ? 0 : images.count / count
        part.images = Array(images[range.lowerBound * size..<range.upperBound * size])
        part.labels = Array(labels[range])
        part.records = Array(records[range])
        return part
    }

    func withView<Result>(_ body: (MicrobatchView) throws -> Result) rethrows -> Result {
        // A placeholder element, so that an empty batch has addresses too.
        try (images + [0]).withUnsafeBufferPointer { images in
            try (labels + [0]).withUnsafeBufferPointer { labels in
                try (records + [0]).withUnsafeBufferPointer { records in
                    try body(
                        MicrobatchView(
                            images: images.baseAddress!, labels: labels.baseAddress!,
                            records: records.baseAddress!, count: count))
                }
            }
        }
    }
}

extension GradientEngine {
    func computeGradient(
        _ batch: Microbatch, epoch: Int
    ) -> (gradient: [Float], statistics: BatchStatistics) {
        // The engine must overwrite whatever the memory holds.
        var gradient = [Float](repeating: .nan, count: network.parameters.elementCount)
        let statistics = batch.withView { computeGradient($0, epoch: epoch, into: &gradient) }
        return (gradient, statistics)
    }

    func evaluate(_ batch: Microbatch) -> (logits: [Float], statistics: BatchStatistics) {
        var logits = [Float](repeating: .nan, count: batch.count * network.outputElementCount)
        let statistics = batch.withView { evaluate($0, logits: &logits) }
        return (logits, statistics)
    }

    /// Trains on one batch in every step, from `parameters`; returns the weights after the last
    /// step.
    func train(
        _ batch: Microbatch, steps: Int, epoch: Int, from parameters: [Float],
        with optimizer: OptimizerSpecification
    ) -> [Float] {
        var weights = parameters
        var state = OptimizerState(optimizer, count: weights.count)
        for step in 1...steps {
            setParameters(weights)
            let sum = computeGradient(batch, epoch: epoch).gradient
            weights = state.update(step, weights, gradientSum: sum, sampleCount: batch.count)
        }
        return weights
    }
}

/// An optimizer with its state, over arrays.
struct OptimizerState {
    let optimizer: OptimizerSpecification
    private(set) var vectors: [[Float]]

    init(_ optimizer: OptimizerSpecification, count: Int) {
        self.optimizer = optimizer
        vectors = optimizer.stateNames.map { _ in [Float](repeating: 0, count: count) }
    }

    mutating func update(
        _ step: Int, _ weights: [Float], gradientSum: [Float], sampleCount: Int
    ) -> [Float] {
        let count = weights.count
        let copies = vectors.map { vector in
            let pointer = UnsafeMutablePointer<Float>.allocate(capacity: max(count, 1))
            pointer.initialize(from: vector, count: count)
            return pointer
        }
        var result = [Float](repeating: .nan, count: count)
        optimizer.update(
            step: step, weights: weights, into: &result, gradientSum: gradientSum,
            sampleCount: sampleCount, state: copies, count: count)
        vectors = copies.map { Array(UnsafeBufferPointer(start: $0, count: count)) }
        for pointer in copies { pointer.deallocate() }
        return result
    }
}
