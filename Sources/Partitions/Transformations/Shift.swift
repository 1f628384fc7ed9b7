import CounterRandom

/// Moves every row, in a series the time, by a whole number of places from -max to max, each as
/// likely. Places that become free repeat the row's first or last element.
struct Shift: ImageTransformation {
    static let name = "shift"
    static let summary = """
        Moves rows (a series in time) by -`max` to `max` places and repeats the edge.
        """
    static let parameters = [TransformationParameter("max", .whole(0...1_000_000))]

    let limit: Int

    init(_ values: TransformationValues) { limit = values.whole("max") }

    func outputShape(of shape: [Int]) throws(DataError) -> [Int] {
        guard limit < shape[2] else {
            throw Self.unfit(
                "max", expected: "below \(shape[2]), the length of a row", found: "\(limit)")
        }
        return shape
    }

    private func move<Element>(_ image: inout Canvas<Element>, _ key: RecordKey) {
        var random = key.stream
        let right = random.next(below: 2 * limit + 1) - limit
        let width = image.width
        let kept = width - abs(right)
        for index in 0..<image.channels * image.height {
            let (source, row) = (image.pixels + index * width, image.spare + index * width)
            if right >= 0 {
                row.update(repeating: source[0], count: right)
                (row + right).update(from: source, count: kept)
            } else {
                row.update(from: source - right, count: kept)
                (row + kept).update(repeating: source[width - 1], count: -right)
            }
        }
        image.swap()
    }

    func apply(to image: inout Canvas<UInt8>, _ key: RecordKey?) {
        if let key { move(&image, key) }
    }

    func apply(to image: inout Canvas<Float>, _ key: RecordKey?) {
        if let key { move(&image, key) }
    }
}
