/// The speed and the loss of the last seconds, for status answers.
///
/// Memory is bounded: figures are summed over stretches of a quarter of a second, and only as many
/// stretches are kept as `span` holds.
struct RecentSteps: Hashable, Sendable {
    /// The time over which speeds are averaged.
    static let span = Duration.seconds(5)
    private static let stretch = Duration.milliseconds(250)
    private static let stretchCount = 20

    /// The sums over the steps of one stretch of time.
    private struct Sums: Hashable {
        var start: Moment
        /// A double, since doubles cannot overflow: the numbers came over the network.
        var sampleCount = 0.0
        var lossSum = 0.0
        var weightSum = 0.0
        var stepCount = 0.0
    }

    private var stretches: [Sums] = []
    private var first: Moment?

    /// Adds a finished step.
    mutating func add(_ report: StepReport, now: Moment) {
        first = first ?? now
        if stretches.last.map({ now - $0.start >= Self.stretch }) ?? true {
            stretches.append(Sums(start: now))
            if stretches.count > Self.stretchCount { stretches.removeFirst() }
        }
        stretches[stretches.count - 1].sampleCount += Double(report.sampleCount)
        stretches[stretches.count - 1].lossSum += report.lossSum
        stretches[stretches.count - 1].weightSum += report.weightSum
        stretches[stretches.count - 1].stepCount += 1
    }

    /// Returns the mean number of records a second over `span`, or over the time since the first step
    /// when that is shorter.
    func imagesPerSecond(now: Moment) -> Double { rate(of: \.sampleCount, now: now) }

    /// Returns the mean number of steps a second over the same time.
    func stepsPerSecond(now: Moment) -> Double { rate(of: \.stepCount, now: now) }

    private func rate(of part: KeyPath<Sums, Double>, now: Moment) -> Double {
        guard let first else { return 0 }
        // Over less than a stretch, a single step would make a rate.
        let time = max(Self.stretch, min(Self.span, now - first))
        let recent = stretches.filter { now - $0.start <= Self.span }
        let count = recent.reduce(0) { $0 + $1[keyPath: part] }
        return count / (time / .seconds(1))
    }

    /// The mean loss over the last stretches with steps in them, however long ago; nil before the first
    /// step.
    var meanLoss: Double? {
        let weight = stretches.reduce(0) { $0 + $1.weightSum }
        return weight > 0 ? stretches.reduce(0) { $0 + $1.lossSum } / weight : nil
    }
}
