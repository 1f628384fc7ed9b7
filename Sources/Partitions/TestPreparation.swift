/// Transforms single images as test records are transformed: random transformations leave an image
/// as it is, except those that change its shape.
public struct TestPreparation: Sendable {
    /// The shape [C, H, W] of the images that are given.
    public let inputShape: [Int]
    /// The shape [C, H, W] of the images behind all transformations.
    public let outputShape: [Int]
    private let ofBytes: TransformationPipeline
    /// Nil where a transformation works on bytes only.
    private let ofFloats: TransformationPipeline?

    /// Prepares a list of transformations.
    ///
    /// - Parameters:
    ///   - transformations: the list.
    ///   - shape: the shape [C, H, W] of the images.
    /// - Throws: `badSetting` when a transformation does not fit what comes before it.
    public init(_ transformations: [Transformation], shape: [Int]) throws(DataError) {
        ofBytes = try TransformationPipeline(transformations, shape: shape, elementType: .U8)
        ofFloats = try? TransformationPipeline(transformations, shape: shape, elementType: .F32)
        inputShape = shape
        outputShape = ofBytes.outputShape
    }

    /// Returns an image behind the transformations.
    ///
    /// Where a transformation works on bytes only, the pixels are rounded to the nearest byte.
    ///
    /// - Parameter image: the pixels [C, H, W], from 0 to 1 for an image of bytes.
    public func prepared(_ image: [Float]) -> [Float] {
        guard let ofFloats else {
            return prepared(
                bytes: image.map { UInt8(max(0, min(255, ($0 * 255).rounded(.toNearestOrEven)))) })
        }
        return image.withUnsafeBytes { Self.run(ofFloats, $0) }
    }

    /// Returns an image of bytes behind the transformations.
    ///
    /// - Parameter bytes: the pixels [C, H, W].
    public func prepared(bytes: [UInt8]) -> [Float] {
        bytes.withUnsafeBytes { Self.run(ofBytes, $0) }
    }

    private static func run(
        _ pipeline: TransformationPipeline, _ image: UnsafeRawBufferPointer
    ) -> [Float] {
        let byteCount = pipeline.inputCount * pipeline.elementType.byteCount
        precondition(
            image.count == byteCount, "\(image.count) bytes, expected \(pipeline.inputShape)")
        guard let start = image.baseAddress else { return [] }
        if pipeline.isEmpty {
            return [Float](unsafeUninitializedCapacity: pipeline.inputCount) { floats, count in
                decodeImage(
                    start, elementCount: pipeline.inputCount, type: pipeline.elementType,
                    into: floats.baseAddress!)
                count = pipeline.inputCount
            }
        }
        let scratch = TransformationScratch(pipeline, capacity: 1)
        var label: Int32 = 0
        let record: [UInt64] = [0]
        return [Float](unsafeUninitializedCapacity: pipeline.outputCount) { floats, count in
            record.withUnsafeBufferPointer { record in
                withUnsafePointer(to: &label) { label in
                    pipeline.start(
                        start, position: 0,
                        of: TransformationPipeline.Batch(
                            records: record, augmentation: nil, images: floats.baseAddress!,
                            labels: label, mixture: nil, scratch: scratch))
                }
            }
            count = pipeline.outputCount
        }
    }
}
