import CKernels

/// Moves the bytes away from the image's mean grey level by a random factor, or towards it, as
/// PIL's `ImageEnhance.Contrast` does.
struct Contrast: ImageTransformation {
    static let name = "contrast"
    static let summary = """
        Moves the levels away from the mean grey by a random factor; 1 changes nothing, 0 makes \
        grey.
        """
    static let parameters = [TransformationParameter.factor]
    static let elements = TransformationElements.bytes

    let factor: ClosedRange<Double>

    init(_ values: TransformationValues) { factor = values.range("factor") }

    func outputShape(of shape: [Int]) throws(DataError) -> [Int] {
        guard shape[0] == 1 || shape[0] == 3 else {
            throw Self.unfit("channels", expected: "1 or 3", found: "\(shape[0])")
        }
        return shape
    }

    func apply(to image: inout Canvas<UInt8>, _ key: RecordKey?) {
        guard var random = key?.stream else { return }
        let area = image.area
        var levels = image.pixels
        if image.channels == 3 {
            levels = image.spare
            convoy_bytes_grey(
                levels, image.pixels, image.pixels + area, image.pixels + 2 * area, area)
        }
        let mean = Int32(Double(convoy_bytes_sum(levels, area)) / Double(area) + 0.5)
        convoy_bytes_stretch(
            image.pixels, image.pixels, image.count, mean, Float(random.next(in: factor)))
    }
}
