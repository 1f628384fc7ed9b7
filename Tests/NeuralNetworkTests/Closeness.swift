import Testing

/// Expects |a - b| <= absolute + relative · |b| for every element; reports the worst one.
func expectClose(
    _ actual: [Float], _ expected: [Float], absolute: Float, relative: Float,
    _ what: @autoclosure () -> String, sourceLocation: SourceLocation = #_sourceLocation
) {
    guard actual.count == expected.count else {
        Issue.record(
            "\(what()): \(actual.count) elements, expected \(expected.count)",
            sourceLocation: sourceLocation)
        return
    }
    var worst: (index: Int, excess: Float) = (-1, 1)
    var badCount = 0
    for (index, (a, b)) in zip(actual, expected).enumerated() {
        let limit = absolute + relative * abs(b)
        let excess = abs(a - b) / limit
        if a == b || excess <= 1 { continue }
        badCount += 1
        if excess > worst.excess || !(excess <= .greatestFiniteMagnitude) || worst.index < 0 {
            worst = (index, excess)
        }
    }
    if badCount == 0 { return }
    Issue.record(
        """
        \(what()): \(badCount) of \(actual.count) elements are off; the worst is [\(worst.index)]: \
        \(actual[worst.index]), expected \(expected[worst.index]), \
        \(worst.excess) times the tolerance
        """, sourceLocation: sourceLocation)
}

/// Expects two vectors to agree in every bit; reports the first difference.
func expectSameBits(
    _ actual: [Float], _ expected: [Float], _ what: @autoclosure () -> String,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    guard actual.count == expected.count else {
        Issue.record(
            "\(what()): \(actual.count) elements, expected \(expected.count)",
            sourceLocation: sourceLocation)
        return
    }
    let pairs = zip(actual, expected).enumerated()
    if let (index, (a, b)) = pairs.first(where: { $0.1.0.bitPattern != $0.1.1.bitPattern }) {
        Issue.record(
            "\(what()): element \(index) is \(a), expected the same bits as \(b)",
            sourceLocation: sourceLocation)
    }
}
