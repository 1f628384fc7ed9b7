import CKernels

/// Moves each pixel away from its grey level by a random factor, or towards it, as PIL's
/// `ImageEnhance.Color` does.
struct Saturation: ImageTransformation {
    static let name = "saturation"
    static let summary = """
        Moves colours away from their grey by a random factor; 1 changes nothing, 0 makes grey.
        """
    static let parameters = [TransformationParameter.factor]
    static let elements = TransformationElements.bytes

    let factor: ClosedRange<Double>

    init(_ values: TransformationValues) { factor = values.range("factor") }

    func outputShape(of shape: [Int]) throws(DataError) -> [Int] {
        guard shape[0] == 3 else {
            throw Self.unfit("channels", expected: "3, of colours", found: "\(shape[0])")
        }
        return shape
    }

    func apply(to image: inout Canvas<UInt8>, _ key: RecordKey?) {
        guard var random = key?.stream else { return }
        let area = image.area
        let factor = Float(random.next(in: factor))
        convoy_bytes_grey(
            image.spare, image.pixels, image.pixels + area, image.pixels + 2 * area, area)
        for channel in 0..<3 {
            let plane = image.pixels + channel * area
            convoy_bytes_stretch_each(plane, plane, image.spare, area, factor)
        }
    }
}
