/// What the records of a partition are to be mapped to: labels, or targets.
struct RecordAnswers: Sendable {
    /// The labels, [count]; empty where there are targets.
    var labels: [Int32] = []
    /// The targets, [count, targetCount]; empty where there are labels.
    var targets: [Float] = []

    /// Returns the labels of a range of records; all are 0 where there are targets.
    func labels(_ range: Range<Int>) -> [Int32] {
        labels.isEmpty ? [Int32](repeating: 0, count: range.count) : Array(labels[range])
    }

    /// Returns the targets of a range of records.
    func targets(_ range: Range<Int>, targetCount: Int) -> ArraySlice<Float> {
        targets[range.lowerBound * targetCount..<range.upperBound * targetCount]
    }

    /// Writes the answer of record `index`, as number `position` of a microbatch.
    func write(
        _ index: Int, to position: Int, labels destination: UnsafeMutablePointer<Int32>,
        targets destinationTargets: UnsafeMutablePointer<Float>?, targetCount: Int
    ) {
        guard targetCount > 0 else {
            destination[position] = labels[index]
            return
        }
        destination[position] = 0
        guard let destinationTargets else { return }
        let start = index * targetCount
        for place in 0..<targetCount {
            destinationTargets[position * targetCount + place] = targets[start + place]
        }
    }
}
