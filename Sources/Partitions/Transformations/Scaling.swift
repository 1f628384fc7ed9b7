import CounterRandom

/// Multiplies each channel by a number of the normal distribution with mean 1 and this standard
/// deviation.
///
/// Source: Um and others, "Data Augmentation of Wearable Sensor Data for Parkinson's Disease
/// Monitoring using Convolutional Neural Networks" (ICMI 2017).
struct Scaling: ImageTransformation {
    static let name = "scaling"
    static let summary = """
        Multiplies each channel by a normal number with mean 1 and deviation `sigma`.
        """
    static let parameters = [TransformationParameter("sigma", .number(0...1000))]
    static let elements = TransformationElements.floats

    let sigma: Double

    init(_ values: TransformationValues) { sigma = values.number("sigma") }

    func apply(to image: inout Canvas<Float>, _ key: RecordKey?) {
        guard var random = key?.stream else { return }
        for channel in 0..<image.channels {
            let factor = Float(1 + sigma * random.nextNormals().0)
            let plane = image.pixels + channel * image.area
            for index in 0..<image.area { plane[index] *= factor }
        }
    }
}
