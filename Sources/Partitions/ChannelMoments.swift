/// A mean and a standard deviation for each channel.
struct ChannelMoments: Sendable {
    let means: [Float]
    let deviations: [Float]

    /// The parameters of a transformation by such numbers.
    static func parameters(_ deviation: String) -> [TransformationParameter] {
        [TransformationParameter("mean", .floats), TransformationParameter(deviation, .floats)]
    }

    init(_ values: TransformationValues, _ deviation: String) {
        means = values.floats("mean")
        deviations = values.floats(deviation)
    }

    /// Throws `badSetting` unless there is a mean and a deviation above 0 for each channel.
    func check(_ shape: [Int], name: String) throws(DataError) {
        guard means.count == shape[0], deviations.count == shape[0] else {
            throw DataError(
                .badSetting, file: name, what: "means and deviations",
                expected: "\(shape[0]) of each, one a channel",
                found: "\(means.count) and \(deviations.count)")
        }
        guard deviations.allSatisfy({ $0 > 0 }) else {
            throw DataError(
                .badSetting, file: name, what: "means and deviations",
                expected: "finite, deviations above 0", found: "\(means) and \(deviations)")
        }
    }

    func value(_ value: Float, channel: Int) -> Float {
        (value - means[channel]) / deviations[channel]
    }
}
