/// Swaps left and right with probability one half: where the lowest bit of the first random number
/// is 1.
struct RandomHorizontalFlip: ImageTransformation {
    static let name = "random-horizontal-flip"
    static let summary = "Swaps left and right with probability one half."

    init(_ values: TransformationValues) {}

    private func isFlipped(_ key: RecordKey?) -> Bool {
        guard var random = key?.stream else { return false }
        return random.next32() & 1 == 1
    }

    func apply(to image: inout Canvas<UInt8>, _ key: RecordKey?) {
        if isFlipped(key) { image.mirror() }
    }

    func apply(to image: inout Canvas<Float>, _ key: RecordKey?) {
        if isFlipped(key) { image.mirror() }
    }
}
