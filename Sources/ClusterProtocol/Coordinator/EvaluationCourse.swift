/// The judgements of a run, in the order of their steps.
///
/// A coordinator adds to them, and its successor reads them back from the journal.
public struct EvaluationCourse: Hashable, Sendable {
    private struct Entry: Hashable, Sendable {
        var step: Step
        var judgement: Judgement
        /// Whether settings were changed at this step, so that patience begins anew.
        var isNewBeginning = false
    }

    private var entries: [Entry] = []
    /// The changes of the learning rate's factor, in the order of their steps.
    public private(set) var rates: [RateChange] = []

    /// Creates the course of a run without evaluations.
    public init() {}

    /// The newest judgement; nil before the first one.
    public var last: Judgement? { entries.last?.judgement }

    /// The step at which the run ends early; nil when it does not.
    public var end: Step? { entries.last.flatMap { $0.judgement.endsRun ? $0.step : nil } }

    /// Adds an evaluation with its judgement; one without is left out.
    public mutating func add(_ summary: EvaluationSummary) {
        guard let judgement = summary.judgement else { return }
        append(Entry(step: summary.step, judgement: judgement))
    }

    private mutating func append(_ entry: Entry) {
        entries.append(entry)
        let factor = entry.judgement.rateFactor
        if factor != rates.last?.factor ?? 1 {
            rates.append(RateChange(from: entry.step, factor: factor))
        }
    }

    /// Leaves out what came after a step: the run goes on from its checkpoint.
    public mutating func goBack(to step: Step) { keep { $0.step <= step } }

    private mutating func keep(_ isKept: (Entry) -> Bool) {
        let kept = entries.filter(isKept)
        guard kept.count < entries.count else { return }
        (entries, rates) = ([], [])
        for entry in kept { append(entry) }
    }

    /// Takes note that settings were changed at a step. Patience begins anew there, and a run that
    /// had ended early goes on. The best values stay, unless the data is other data; the factor
    /// stays, unless the schedule is another one.
    public mutating func change(_ changes: [SettingChange], at step: Step) {
        keep { $0.step <= step && !($0.isNewBeginning && $0.step == step) }
        guard !changes.isEmpty, let last else { return }
        var judgement = Judgement()
        let keys = Set(changes.map(\.key))
        if !keys.contains("data.source") {
            (judgement.stopping, judgement.plateau) = (last.stopping?.anew, last.plateau?.anew)
        }
        judgement.rateFactor = last.rateFactor
        if keys.contains("training.schedule") {
            (judgement.plateau, judgement.rateFactor) = (nil, 1)
        }
        append(Entry(step: step, judgement: judgement, isNewBeginning: true))
    }

    /// Returns whether an evaluation, which was added last, has found the best weights so far.
    ///
    /// With early stopping its metric decides, otherwise the accuracy.
    ///
    /// - Parameter bestCorrectCount: The highest number of correct records before.
    func isBest(_ summary: EvaluationSummary, bestCorrectCount: Int) -> Bool {
        guard summary.isFinite else { return false }
        if let isBest = summary.isBestSoFar { return isBest }
        return last?.stopping == nil && summary.correctCount > bestCorrectCount
    }
}
