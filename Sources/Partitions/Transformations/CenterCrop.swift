/// Cuts out the middle of an image.
///
/// Source: torchvision's `center_crop`: the first row is (H - height) / 2, rounded to even.
struct CenterCrop: ImageTransformation {
    static let name = "center-crop"
    static let summary = "Cuts out the middle, which must not be larger than the image."
    static let parameters = [TransformationParameter("size", .size)]
    static let isRandom = false

    let size: (height: Int, width: Int)

    init(_ values: TransformationValues) { size = values.size("size") }

    func outputShape(of shape: [Int]) throws(DataError) -> [Int] {
        guard size.height <= shape[1], size.width <= shape[2] else {
            throw Self.unfit(
                "size", expected: "at most [\(shape[1]), \(shape[2])], the image's",
                found: "[\(size.height), \(size.width)]")
        }
        return [shape[0], size.height, size.width]
    }

    private func middle(_ whole: Int, _ part: Int) -> Int {
        Int((Double(whole - part) / 2).rounded(.toNearestOrEven))
    }

    func apply(to image: inout Canvas<UInt8>, _ key: RecordKey?) {
        image.cut(
            top: middle(image.height, size.height), left: middle(image.width, size.width),
            height: size.height, width: size.width)
    }

    func apply(to image: inout Canvas<Float>, _ key: RecordKey?) {
        image.cut(
            top: middle(image.height, size.height), left: middle(image.width, size.width),
            height: size.height, width: size.width)
    }
}
