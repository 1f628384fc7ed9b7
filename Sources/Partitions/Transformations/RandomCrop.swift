/// Moves the window of an image at random over the image with a border of zeros.
///
/// Random numbers: down, then right, each from 0 to 2 · padding.
struct RandomCrop: ImageTransformation {
    static let name = "random-crop"
    static let summary = """
        Adds `padding` zeros on each side and cuts out a window of the old size at a random place.
        """
    static let parameters = [TransformationParameter("padding", .whole(0...64))]

    let padding: Int

    init(_ values: TransformationValues) { padding = values.whole("padding") }

    func outputShape(of shape: [Int]) throws(DataError) -> [Int] {
        let side = min(shape[1], shape[2])
        guard padding <= side else {
            throw Self.unfit(
                "padding", expected: "0 to \(side), the image's side", found: "\(padding)")
        }
        return shape
    }

    private func move(_ key: RecordKey) -> (down: Int, right: Int) {
        var random = key.stream
        let down = random.next(below: 2 * padding + 1) - padding
        let right = random.next(below: 2 * padding + 1) - padding
        return (down, right)
    }

    func apply(to image: inout Canvas<UInt8>, _ key: RecordKey?) {
        guard let key else { return }
        let (down, right) = move(key)
        image.shift(down: down, right: right, zero: 0)
    }

    func apply(to image: inout Canvas<Float>, _ key: RecordKey?) {
        guard let key else { return }
        let (down, right) = move(key)
        image.shift(down: down, right: right, zero: 0)
    }
}
