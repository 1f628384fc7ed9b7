import CounterRandom

/// Measures what a list of transformations costs.
package struct TransformationBench {
    private let pipeline: TransformationPipeline
    private let recordCount: Int
    private let stored: [UInt8]
    private let batch: Microbatch
    private let scratch: TransformationScratch

    /// Prepares a list for records of random bytes.
    ///
    /// - Parameters:
    ///   - transformations: the list.
    ///   - shape: the shape [C, H, W] of a stored image of bytes.
    ///   - recordCount: the number of records of a microbatch.
    /// - Throws: `badSetting` when a transformation does not fit what comes before it.
    package init(
        _ transformations: [Transformation], shape: [Int], recordCount: Int
    ) throws(DataError) {
        pipeline = try TransformationPipeline(transformations, shape: shape, elementType: .U8)
        self.recordCount = recordCount
        var random = RandomStream(seed: 1, purpose: .simulation)
        stored = (0..<recordCount * pipeline.inputCount).map { _ in
            UInt8(truncatingIfNeeded: random.next32())
        }
        batch = Microbatch(capacity: recordCount, shape: pipeline.outputShape)
        scratch = TransformationScratch(pipeline, capacity: recordCount)
        for index in 0..<recordCount { batch.records[index] = UInt64(index) }
    }

    /// Reads one microbatch as training does. Without a transformation it only scales the bytes.
    package func run(epoch: Int) {
        let records = UnsafeBufferPointer(start: batch.records, count: recordCount)
        let (size, isEmpty) = (pipeline.inputCount, pipeline.isEmpty)
        let material = TransformationPipeline.Batch(
            records: records, augmentation: AugmentationKey(seed: 1, epoch: epoch),
            images: batch.images, labels: batch.labels,
            mixture: LabelMixture(labels: batch.secondLabels, weights: batch.labelWeights),
            scratch: scratch)
        stored.withUnsafeBytes { bytes in
            for index in 0..<recordCount {
                let image = bytes.baseAddress! + index * size
                if isEmpty {
                    decodeImage(
                        image, elementCount: size, type: .U8, into: batch.images + index * size)
                } else {
                    pipeline.start(image, position: index, of: material)
                }
            }
        }
        if !isEmpty { pipeline.finish(material) }
    }
}
