/// Divergence: a loss, or weights, that are not finite numbers.
///
/// Shards run ahead of the reports, so when a loss is known not to be finite the weights may no longer
/// be finite either. Contributions are pure functions. The run therefore goes back to its last
/// checkpoint, which is finite, computes the steps up to the one with the flaw again, takes a
/// checkpoint there and ends.
extension CoordinatorMachine {
    /// Where a run ends when its numbers are no longer finite.
    struct Divergence: Hashable, Sendable {
        /// The versions that may have the last finite weights, the latest one first.
        var candidates: [Step]

        /// Creates a divergence.
        ///
        /// - Parameter step: The version with which the run should end: the latest whose weights may be
        ///   finite.
        init(after step: Step) {
            candidates = [step, Step(max(0, step.value - 1))]
        }

        /// The version to end with, unless its weights turn out not to be finite.
        var target: Step { candidates.first ?? Step(0) }
    }

    /// Whether the run ends because its numbers are no longer finite.
    public var hasDiverged: Bool { divergence != nil }

    static func lossReason(_ step: Step) -> String {
        "the loss of step \(step.value + 1) is not a finite number; lower the learning rate, or look "
            + "at the records (--keep-going goes on all the same)"
    }

    private static func weightsReason(_ step: Step) -> String {
        "the weights after step \(step) are not finite numbers; lower the learning rate "
            + "(--keep-going goes on all the same)"
    }

    /// Handles the report of a step whose loss is not finite.
    mutating func diverge(_ report: StepReport, now: Moment) -> [Action] {
        guard !hasNotedFlaw else { return [] }
        hasNotedFlaw = true
        let flawed = report.flawedVirtualWorker
        let owner = flawed.flatMap { flawed in
            readyPeers(.worker).first { $0.virtualWorkers.contains(flawed) }?.summary
        }
        let note = Action.note(
            .flawedLoss(step: report.step, virtualWorker: flawed, owner))
        // A run that a user has asked to stop is not taken back.
        if configuration.keepsGoing || stop != nil { return [note] }
        stop = (ExitCode.data, Self.lossReason(report.step))
        divergence = Divergence(after: report.step)
        return [note, .journal(.diverged(report.step))] + goBack(now: now)
    }

    /// Handles a snapshot that holds a number that is not finite.
    mutating func checkpointNotFinite(_ step: Step, now: Moment) -> [Action] {
        let note = Action.note(.flawedWeights(step))
        hasNotedFlaw = true
        if divergence != nil {
            guard case .finishing = phase, step == divergence?.target else { return [] }
            divergence?.candidates.removeFirst()
            return [note] + goBack(now: now)
        }
        // This is the first sign of it: no loss was reported as not finite.
        let last = Step(max(0, step.value - 1))
        stop = stop ?? (ExitCode.data, Self.weightsReason(step))
        divergence = Divergence(after: last)
        return [note, .journal(.diverged(last))] + goBack(now: now)
    }

    /// Puts the shards back to the last checkpoint, from where they go on to the target; ends the run
    /// when the checkpoint is at the target already.
    private mutating func goBack(now: Moment) -> [Action] {
        guard let stop, let divergence else { return [] }
        switch phase {
        case .training(let since): training += now - since
        case .holding(let holding): training += now - holding.trainingSince
        case .gathering, .recovering, .placing, .evaluating, .finishing, .dismissing, .ended: break
        }
        arrivedSnapshot = nil
        guard lastCheckpoint < divergence.target else {
            return end(exitCode: stop.exitCode, reason: stop.reason)
        }
        phase = .placing(since: now, waiting: Set(configuration.plan.shards))
        return [.note(.goingBack(to: divergence.target))] + place(now: now)
    }
}
