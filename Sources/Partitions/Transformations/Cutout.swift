import CounterRandom

/// Sets a square at a random place to zero. Its centre is any pixel, so that the square may lie
/// partly outside the image.
///
/// Source: DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with
/// Cutout" (arXiv 1708.04552).
struct Cutout: ImageTransformation {
    static let name = "cutout"
    static let summary = "Sets a square of this side, around a random pixel, to zero."
    static let parameters = [TransformationParameter("size", .whole(1...4096))]

    let size: Int

    init(_ values: TransformationValues) { size = values.whole("size") }

    private func square(
        height: Int, width: Int, _ key: RecordKey
    ) -> (rows: Range<Int>, columns: Range<Int>) {
        var random = key.stream
        let top = random.next(below: height) - size / 2
        let left = random.next(below: width) - size / 2
        return (
            max(0, top)..<min(height, top + size), max(0, left)..<min(width, left + size)
        )
    }

    func apply(to image: inout Canvas<UInt8>, _ key: RecordKey?) {
        guard let key else { return }
        let (rows, columns) = square(height: image.height, width: image.width, key)
        image.fill(rows, columns, from: nil, zero: 0)
    }

    func apply(to image: inout Canvas<Float>, _ key: RecordKey?) {
        guard let key else { return }
        let (rows, columns) = square(height: image.height, width: image.width, key)
        image.fill(rows, columns, from: nil, zero: 0)
    }
}
