/// (value - mean[c]) / std[c] for every channel c, where bytes are scaled to 0 to 1 before.
struct Normalize: ElementwiseTransformation {
    static let name = "normalize"
    static let summary = "(value - mean) / std for each channel, where pixels range from 0 to 1."
    static let parameters = ChannelMoments.parameters("std")
    static let elements = TransformationElements.floats
    static let isRandom = false

    let moments: ChannelMoments

    init(_ values: TransformationValues) { moments = ChannelMoments(values, "std") }

    func outputShape(of shape: [Int]) throws(DataError) -> [Int] {
        try moments.check(shape, name: Self.name)
        return shape
    }

    func value(_ value: Float, channel: Int) -> Float { moments.value(value, channel: channel) }
}
