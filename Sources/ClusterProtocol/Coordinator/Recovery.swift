extension CoordinatorMachine {
    /// What a coordinator learns about its run from the journal of the coordinator before it.
    public struct Recovery: Hashable, Sendable {
        /// The last generation that was dealt.
        public var generation = Generation(0)
        /// The number of the last placement of the shards.
        public var placement = Placement(0)
        /// The checkpoint with which that placement began.
        public var placementStep = Step(0)
        /// The host of each shard in that placement, in shard order.
        public var hosts: [PeerIdentity] = []
        /// The processes that have joined and were not lost.
        public var members: Set<PeerIdentity> = []
        /// The members that are workers.
        public var workers: Set<PeerIdentity> = []
        /// The last step limit; nil when no step was allowed yet.
        public var limit: Step?
        /// The last evaluation.
        public var evaluation: EvaluationSummary?
        /// The last step whose weights were evaluated, among the evaluations that still count: those up
        /// to the checkpoint at which the run was last resumed, and those since.
        public private(set) var evaluated: Step?
        /// The evaluations that found better weights than all before them: by the metric of early
        /// stopping, or by accuracy. Those of former data, and those after the checkpoint at which the
        /// run was last resumed, do not count.
        private var bests: [EvaluationSummary] = []
        /// The time spent in training steps from `countedFrom` on, in seconds.
        public var trainingSeconds = 0.0
        /// The first step that `trainingSeconds` covers.
        public var countedFrom = Step(0)
        /// The instruction set that all workers compute with.
        public var instructionSet: String?
        /// The number of members that died or fell silent.
        public var lostMemberCount = 0
        /// The number of coordinators that took the run over from one that died.
        public var takeoverCount = 0
        /// The steps in the ledger: all below this one.
        public var recorded = Step(0)
        /// The step whose loss, or whose new weights, were not finite numbers; nil when all numbers
        /// were finite.
        public var diverged: Step?
        /// The evaluation of the best weights; nil before the first one, and after a change of the data
        /// source.
        public var best: EvaluationSummary? { bests.last }
        /// The number of test records that the best weights classify correctly; -1 where there are none.
        public var bestCorrectCount: Int { best?.correctCount ?? -1 }
        /// What was decided from the evaluations.
        public private(set) var course = EvaluationCourse()
        /// The step at which the run ended well; nil when it did not, or was taken further since.
        public var finished: Step?
        /// Whether members of the run may still be at work: false when all processes were started anew.
        public var mayHaveMembers = true
        /// Whether the run's members train what was frozen at its start.
        public var isUnfrozen = false
        /// The settings that were changed during the run.
        public var history = SettingsHistory()

        /// Creates the knowledge of an empty journal.
        public init() {}

        /// Returns whether a run has nothing left to do: it ended at its last step, or early.
        ///
        /// - Parameters:
        ///   - steps: The run's number of steps.
        ///   - checkpoint: The run's newest checkpoint.
        public func isComplete(steps: Step, checkpoint: Step) -> Bool {
            let end = course.end.map { min($0, steps) } ?? steps
            return finished == end && checkpoint == end
        }

        /// Leaves out the evaluations after a step: the run goes on from its checkpoint, and they are
        /// done again.
        public mutating func goBack(to step: Step) {
            evaluated = evaluated.map { min($0, step) }
            course.goBack(to: step)
            bests.removeAll { $0.step > step }
        }

        /// Takes in one line of the journal.
        public mutating func add(_ entry: JournalEntry) {
            switch entry {
            case .started, .checkpoint: break
            case .diverged(let step): diverged = step
            case .resumed(let step):
                isUnfrozen = false
                diverged = nil
                members = []
                workers = []
                hosts = []
                goBack(to: step)
                trainingSeconds = 0
                countedFrom = step
            case .finished(let step, let exitCode): finished = exitCode == ExitCode.done ? step : nil
            case .tookOver: takeoverCount += 1
            case .unfrozen: isUnfrozen = true
            case .changed(let step, let changes, let source):
                history.add(.init(step: step, changes: changes, formerSource: source))
                course.change(changes, at: step)
                // Accuracies on other test records say nothing about the accuracy on the present ones.
                if changes.contains(where: { $0.key == "data.source" }) { bests = [] }
            case .settled(let name): instructionSet = name
            case .joined(let peer, let role, _, _):
                members.insert(peer)
                if role == .worker { workers.insert(peer) }
            case .lost(let peer, let reason):
                members.remove(peer)
                workers.remove(peer)
                if reason != CoordinatorMachine.leftReason { lostMemberCount += 1 }
            case .placed(let placement, let step, let hosts):
                self.placement = placement
                placementStep = step
                self.hosts = hosts
            case .assigned(let generation, _): self.generation = max(self.generation, generation)
            case .limit(let step, let seconds):
                limit = step
                trainingSeconds = seconds
                finished = nil
            case .evaluated(let summary):
                evaluation = summary
                evaluated = summary.step
                trainingSeconds = summary.trainingSeconds
                course.add(summary)
                if course.isBest(summary, bestCorrectCount: bestCorrectCount) {
                    bests.append(summary)
                }
            }
        }
    }
}
