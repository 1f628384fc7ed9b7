/// A line of the coordinator's journal: a fact that a coordinator needs to take the run over.
public enum JournalEntry: Hashable, Codable, Sendable {
    /// Training is about to begin at this step.
    case started(run: String, step: Step)
    /// All workers compute with this instruction set.
    case settled(instructionSet: String)
    /// This process has joined.
    case joined(peer: PeerIdentity, role: Role, host: String, processIdentifier: Int)
    /// This member is gone.
    case lost(peer: PeerIdentity, reason: String)
    /// The shards were placed, with their state at a checkpoint; `hosts` are their hosts, in shard
    /// order.
    case placed(placement: Placement, step: Step, hosts: [PeerIdentity])
    /// Virtual workers were dealt; `virtualWorkers` gives each worker's share by the worker's name.
    case assigned(generation: Generation, virtualWorkers: [String: [VirtualWorkerIndex]])
    /// Steps below this one may run from now on; `trainingSeconds` have been spent in training steps so
    /// far.
    case limit(Step, trainingSeconds: Double)
    /// The test records were evaluated. What follows from it for later steps is in the same line.
    case evaluated(CoordinatorMachine.EvaluationSummary)
    /// The checkpoint of this step is written.
    case checkpoint(Step)
    /// The run has ended.
    case finished(step: Step, exitCode: Int)
    /// Another coordinator goes on with the run of one that died.
    case tookOver
    /// The loss of this step, or the weights after it, are not finite numbers. The run ends with the
    /// weights from which the step started or, if those are not finite, with the version before.
    case diverged(Step)
    /// The run begins again at this checkpoint, with none of its former members.
    case resumed(Step)
    /// From this step on, what was frozen at the start of the run is trained.
    case unfrozen(Step)
    /// From this step on, these settings differ from those before it, because a user asked for it.
    /// `formerSource` is where the data was before, when that changed.
    case changed(step: Step, settings: [SettingChange], formerSource: String?)
}
