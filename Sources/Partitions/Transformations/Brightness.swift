import CKernels

/// Multiplies the bytes by a random factor, as PIL's `ImageEnhance.Brightness` does.
struct Brightness: ImageTransformation {
    static let name = "brightness"
    static let summary = "Multiplies by a random factor; 1 changes nothing, 0 makes black."
    static let parameters = [TransformationParameter.factor]
    static let elements = TransformationElements.bytes

    let factor: ClosedRange<Double>

    init(_ values: TransformationValues) { factor = values.range("factor") }

    func apply(to image: inout Canvas<UInt8>, _ key: RecordKey?) {
        guard var random = key?.stream else { return }
        convoy_bytes_stretch(
            image.pixels, image.pixels, image.count, 0, Float(random.next(in: factor)))
    }
}

extension TransformationParameter {
    /// The range of the factor of brightness, contrast or saturation.
    static let factor = TransformationParameter("factor", .range(0...100))
}
