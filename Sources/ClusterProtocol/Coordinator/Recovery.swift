extension CoordinatorMachine {
    /// What a coordinator knows of its run from the journal of the one before it.
    public struct Recovery: Hashable, Sendable {
        public var generation = Generation(0)
        public var placement = 0
        /// The checkpoint that it began with.
        public var placementStep = Step(0)
        public var hosts: [PeerIdentity] = []
        public var members: Set<PeerIdentity> = []
        /// Those of the members who compute.
        public var workers: Set<PeerIdentity> = []
        public var limit: Step?
        /// The last evaluation.
        public var evaluation: EvaluationSummary?
        /// Ends of epochs up to this step were evaluated, of those that still count.
        public private(set) var evaluated: Step?
        public var bestCorrectCount = -1
        public var trainingSeconds = 0.0
        /// Steps from this one on were trained within `trainingSeconds`.
        public var countedFrom = Step(0)
        public var instructionSet: String?
        public var lostMemberCount = 0
        public var takeoverCount = 0
        /// Steps in the ledger.
        public var recorded = Step(0)
        /// The step whose loss was not a finite number.
        public var diverged: Step?
        /// The evaluation with the highest accuracy.
        public var best: EvaluationSummary?
        /// Where the run ended well, when it was not taken further since.
        public var finished: Step?
        /// Whether members of the run may still be at work: false when all were started anew.
        public var mayHaveMembers = true
        /// Settings that were changed on the way.
        public var history = SettingsHistory()

        public init() {}

        /// Whether a run of so many steps, whose newest checkpoint is this one, has nothing left to
        /// do.
        public func isComplete(steps: Step, checkpoint: Step) -> Bool {
            finished == steps && checkpoint == steps
        }

        /// Takes in a line of the journal.
        public mutating func add(_ entry: JournalEntry) {
            switch entry {
            case .started, .checkpoint: break
            case .diverged(let step): diverged = step
            case .resumed(let step):
                diverged = nil
                members = []
                workers = []
                hosts = []
                evaluated = evaluated.map { min($0, step) }
                trainingSeconds = 0
                countedFrom = step
            case .finished(let step, let exitCode): finished = exitCode == 0 ? step : nil
            case .tookOver: takeoverCount += 1
            case .changed(let step, let changes, let source):
                history.add(.init(step: step, changes: changes, formerSource: source))
                // Accuracies on other test records say nothing about these.
                if changes.contains(where: { $0.key == "data.source" }) { bestCorrectCount = -1 }
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
                if summary.isFinite, summary.correctCount > bestCorrectCount {
                    bestCorrectCount = summary.correctCount
                    best = summary
                }
            }
        }
    }
}
