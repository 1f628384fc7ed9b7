import CounterRandom

/// Sets each channel to zero with this probability. When all would become zero, all stay.
struct ChannelDrop: ImageTransformation {
    static let name = "channel-drop"
    static let summary = """
        Sets each channel to zero with this probability; when all would be, all stay.
        """
    static let parameters = [TransformationParameter("probability", .number(0...1))]

    let probability: Double

    init(_ values: TransformationValues) { probability = values.number("probability") }

    private func drop<Element>(
        _ image: inout Canvas<Element>, _ key: RecordKey, zero: Element
    ) {
        var random = key.stream
        var droppedCount = 0
        for _ in 0..<image.channels where Double(random.nextUniform()) < probability {
            droppedCount += 1
        }
        if droppedCount == image.channels { return }
        random = key.stream
        for channel in 0..<image.channels where Double(random.nextUniform()) < probability {
            (image.pixels + channel * image.area).update(repeating: zero, count: image.area)
        }
    }

    func apply(to image: inout Canvas<UInt8>, _ key: RecordKey?) {
        if let key { drop(&image, key, zero: 0) }
    }

    func apply(to image: inout Canvas<Float>, _ key: RecordKey?) {
        if let key { drop(&image, key, zero: 0) }
    }
}
