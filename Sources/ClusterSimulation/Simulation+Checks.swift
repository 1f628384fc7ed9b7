import ClusterProtocol

/// Checks the invariants that must hold under every fault.
extension Simulation {
    mutating func record(_ report: StepReport) {
        guard report.step.value == recorded, recorded < lastStep else {
            violation = "step \(report.step) was reported after \(recorded) steps"
            return
        }
        recorded += 1
        var totals = problem.serialTotals(
            step: report.step.value, weights: oracle[report.step.value])
        if isSpoiled(report.step) {
            totals.lossSum = .nan
            totals.markFlaw(of: VirtualWorkerIndex(0))
        }
        let expected = StepReport(step: report.step, totals: totals)
        if report != expected { violation = "totals of step \(report.step) differ: \(report)" }
    }

    mutating func check(_ summary: CoordinatorMachine.EvaluationSummary) {
        let step = summary.step
        guard step.value <= lastStep else {
            violation = "step \(step) was evaluated, after the end"
            return
        }
        let expected = problem.evaluation(step: step, oracle[step.value], settings)
        if summary.lossSum != expected.lossSum || summary.correctCount != expected.correctCount {
            violation = "evaluation at step \(step) differs"
        }
        if summary.judgement != serial.judgements[step] {
            violation = "judgement at step \(step) differs: \(summary)"
        }
    }

    mutating func end(_ outcome: CoordinatorMachine.Outcome) {
        self.outcome = outcome
        if let flawed = settings.flawedStep, flawed < settings.totalSteps {
            return checkFlawedEnd(outcome, flawed)
        }
        guard outcome.exitCode == ExitCode.done else {
            violation = "ended with \(outcome.exitCode): \(outcome.reason)"
            noteStates()
            return
        }
        if recorded != lastStep { violation = "only \(recorded) steps were recorded" }
        guard outcome.step == Step(lastStep), let final = disk.checkpoint(Step(lastStep)) else {
            violation = "there is no checkpoint of the last step"
            return
        }
        for chunk in problem.plan.chunks
        where final[chunk.index]?[0] != Array(oracle[lastStep][chunk.range]) {
            violation = "chunk \(chunk.index) of the last checkpoint differs"
        }
    }

    func isSpoiled(_ step: Step) -> Bool { settings.flawedStep.map { step.value >= $0 } ?? false }

    /// Returns whether the weights of a version are not finite.
    func isFlawed(_ step: Step) -> Bool {
        guard let flawed = settings.flawedStep else { return false }
        return settings.hasFlawedWeights ? step.value >= flawed : step.value > flawed
    }

    /// Checks that the run ended with exit code 65 and kept the last finite weights.
    private mutating func checkFlawedEnd(_ outcome: CoordinatorMachine.Outcome, _ flawed: Int) {
        let last = max(0, settings.hasFlawedWeights ? flawed - 1 : flawed)
        guard outcome.exitCode == ExitCode.data, outcome.step == Step(last) else {
            violation = "ended with \(outcome.exitCode) at \(outcome.step), expected 65 at \(last)"
            return noteStates()
        }
        for chunk in problem.plan.chunks
        where disk.checkpoint(Step(last))?[chunk.index]?[0] != Array(oracle[last][chunk.range]) {
            violation = "chunk \(chunk.index) of the last checkpoint differs"
        }
    }

    /// Checks that a new coordinator's journal knows every generation that a member knows. A member
    /// would not accept a lower generation.
    mutating func checkSuccession(_ recovery: CoordinatorMachine.Recovery) {
        for peer in members.keys.sorted() {
            guard let known = members[peer]?.lastGeneration, known > recovery.generation else {
                continue
            }
            violation = "\(peer) is at generation \(known), the journal at \(recovery.generation)"
        }
    }

    /// Checks each member after each tick of the coordinator: open versions stay within their
    /// bound, no virtual worker is kept twice, and versions of chunks differ by one at most.
    mutating func checkBounds() {
        for peer in members.keys.sorted() {
            guard let member = members[peer] else { continue }
            if member.versions.count > WeightAssembly.maximumOpenCount {
                violation = "\(peer) keeps versions \(member.versions.keys.sorted())"
            }
            for chunk in member.sums.keys.sorted() {
                var next = VirtualWorkerIndex(0)
                let nodes = member.sums[chunk]?.nodes ?? []
                let spans = nodes.map { problem.tree.virtualWorkers(below: $0) }
                for span in spans.sorted(by: { $0.lowerBound < $1.lowerBound }) {
                    let first = span.lowerBound
                    if first < next {
                        violation =
                            "\(peer) keeps virtual worker \(first) of chunk \(chunk) twice"
                    }
                    next = span.upperBound
                }
            }
            let versions = member.chunkVersions.values
            if let least = versions.min(), let most = versions.max(), most.value - least.value > 1 {
                violation = "\(peer) has chunks of versions \(least) and \(most)"
            }
        }
    }
}
