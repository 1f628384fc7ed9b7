import Pictures

/// Resizes an image to a size, whatever its own shape is, with the bytes of PIL's `resize`.
struct Resize: ImageTransformation {
    static let name = "resize"
    static let summary = "Resizes to a size, whatever the image's shape is, as PIL does."
    static let parameters = [
        TransformationParameter("size", .size), PictureFilter.parameter,
    ]
    static let elements = TransformationElements.bytes
    static let isRandom = false

    let size: (height: Int, width: Int)
    let filter: PictureFilter

    init(_ values: TransformationValues) {
        size = values.size("size")
        filter = PictureFilter(values)
    }

    func outputShape(of shape: [Int]) throws(DataError) -> [Int] {
        try PictureResizer.check(shape, name: Self.name)
        return [shape[0], size.height, size.width]
    }

    func apply(to image: inout Canvas<UInt8>, _ key: RecordKey?) {
        image.resize(height: size.height, width: size.width, filter)
    }
}
