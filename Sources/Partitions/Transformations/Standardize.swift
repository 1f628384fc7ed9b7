/// (value - mean[c]) / deviation[c]: the earlier name of ``Normalize``, with the same bits.
struct Standardize: ElementwiseTransformation {
    static let name = "standardize"
    static let summary = "The earlier name of `normalize`, with `deviation` in place of `std`."
    static let parameters = ChannelMoments.parameters("deviation")
    static let elements = TransformationElements.floats
    static let isRandom = false

    let moments: ChannelMoments

    init(_ values: TransformationValues) { moments = ChannelMoments(values, "deviation") }

    func outputShape(of shape: [Int]) throws(DataError) -> [Int] {
        try moments.check(shape, name: Self.name)
        return shape
    }

    func value(_ value: Float, channel: Int) -> Float { moments.value(value, channel: channel) }
}
