/// What was trained in the last seconds: speed and loss for those who ask.
///
/// Bounded: sums over stretches of a quarter of a second, and no more of them than `span` holds.
struct RecentSteps: Hashable, Sendable {
    static let span = Duration.seconds(5)
    private static let stretch = Duration.milliseconds(250)
    private static let stretchCount = 20

    private struct Sums: Hashable {
        var start: Moment
        /// Doubles, which cannot overflow: the numbers came over the network.
        var sampleCount = 0.0
        var lossSum = 0.0
        var stepCount = 0.0
    }

    private var stretches: [Sums] = []
    private var first: Moment?

    mutating func add(_ report: StepReport, now: Moment) {
        first = first ?? now
        if stretches.last.map({ now - $0.start >= Self.stretch }) ?? true {
            stretches.append(Sums(start: now))
            if stretches.count > Self.stretchCount { stretches.removeFirst() }
        }
        stretches[stretches.count - 1].sampleCount += Double(report.sampleCount)
        stretches[stretches.count - 1].lossSum += report.lossSum
        stretches[stretches.count - 1].stepCount += 1
    }

    /// Mean over `span`, or over the time since the first step when that is shorter.
    func imagesPerSecond(now: Moment) -> Double { rate(of: \.sampleCount, now: now) }

    /// The same, of steps.
    func stepsPerSecond(now: Moment) -> Double { rate(of: \.stepCount, now: now) }

    private func rate(of part: KeyPath<Sums, Double>, now: Moment) -> Double {
        guard let first else { return 0 }
        // Less than a stretch would make a rate of a single step.
        let time = max(Self.stretch, min(Self.span, now - first))
        let recent = stretches.filter { now - $0.start <= Self.span }
        let count = recent.reduce(0) { $0 + $1[keyPath: part] }
        return count / (time / .seconds(1))
    }

    /// Over the last stretches with steps in them, however long ago; nil before the first.
    var meanLoss: Double? {
        let count = stretches.reduce(0) { $0 + $1.sampleCount }
        return count > 0 ? stretches.reduce(0) { $0 + $1.lossSum } / count : nil
    }
}
