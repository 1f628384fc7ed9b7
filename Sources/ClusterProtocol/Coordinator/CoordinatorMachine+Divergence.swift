/// Numbers that are none: a loss, or weights, that are not finite.
///
/// Shards run ahead of the reports, so when a loss is known not to be finite their weights may be
/// spoiled already. Contributions are pure functions, so the run goes back to its last checkpoint,
/// which is finite, computes the steps up to the spoiled one again, takes a checkpoint there and
/// ends.
extension CoordinatorMachine {
    /// Where a run ends that has come to numbers that are none.
    struct Divergence: Hashable, Sendable {
        /// Versions whose weights may be the last finite ones, the last of them first.
        var candidates: [Step]

        init(after step: Step) {
            candidates = [step, Step(max(0, step.value - 1))]
        }

        /// The version to end with, unless its weights turn out not to be finite.
        var target: Step { candidates.first ?? Step(0) }
    }

    /// Whether the run ends because its numbers are none.
    public var hasDiverged: Bool { divergence != nil }

    static func lossReason(_ step: Step) -> String {
        "the loss of step \(step.value + 1) is not a finite number; lower the learning rate, or look "
            + "at the records (--keep-going goes on all the same)"
    }

    private static func weightsReason(_ step: Step) -> String {
        "the weights after step \(step) are not finite numbers; lower the learning rate "
            + "(--keep-going goes on all the same)"
    }

    /// A step was reported with a loss that is not finite.
    mutating func diverge(_ report: StepReport, now: Moment) -> [Action] {
        guard !hasNotedFlaw else { return [] }
        hasNotedFlaw = true
        let leaf = report.flawedLeaf
        let owner = leaf.flatMap { leaf in
            readyPeers(.worker).first { $0.virtualWorkers.contains(leaf) }?.summary
        }
        let note = Action.note(
            .flawedLoss(step: report.step, virtualWorker: leaf, owner))
        // Somebody has asked the run to stop, and it stops as it is.
        if configuration.keepsGoing || stop != nil { return [note] }
        stop = (65, Self.lossReason(report.step))
        divergence = Divergence(after: report.step)
        return [note, .journal(.diverged(report.step))] + goBack(now: now)
    }

    /// A snapshot was found to hold something that is not a finite number.
    mutating func checkpointNotFinite(_ step: Step, now: Moment) -> [Action] {
        let note = Action.note(.flawedWeights(step))
        hasNotedFlaw = true
        if divergence != nil {
            guard case .finishing = phase, step == divergence?.target else { return [] }
            divergence?.candidates.removeFirst()
            return [note] + goBack(now: now)
        }
        // The first sign of it: no loss has told of it.
        let last = Step(max(0, step.value - 1))
        stop = stop ?? (65, Self.weightsReason(step))
        divergence = Divergence(after: last)
        return [note, .journal(.diverged(last))] + goBack(now: now)
    }

    /// Puts the shards back to the last checkpoint, from where they go on to the target; or ends, if
    /// that is where the checkpoint is.
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
