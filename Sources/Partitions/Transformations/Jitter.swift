import CounterRandom

/// Adds to each element a number of the normal distribution with mean 0 and this standard
/// deviation.
struct Jitter: ImageTransformation {
    static let name = "jitter"
    static let summary = "Adds a normal number with deviation `sigma` to each element."
    static let parameters = [TransformationParameter("sigma", .number(0...1000))]
    static let elements = TransformationElements.floats

    let sigma: Double

    init(_ values: TransformationValues) { sigma = values.number("sigma") }

    func apply(to image: inout Canvas<Float>, _ key: RecordKey?) {
        guard var random = key?.stream else { return }
        for index in stride(from: 0, to: image.count, by: 2) {
            let (first, second) = random.nextNormals()
            image.pixels[index] += Float(sigma * first)
            if index + 1 < image.count { image.pixels[index + 1] += Float(sigma * second) }
        }
    }
}
