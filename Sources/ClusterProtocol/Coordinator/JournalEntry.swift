/// A line of the coordinator's journal: what a successor must know.
public enum JournalEntry: Hashable, Codable, Sendable {
    case started(run: String, step: Step)
    case settled(instructionSet: String)
    case joined(peer: PeerIdentity, role: Role, host: String, processIdentifier: Int)
    case lost(peer: PeerIdentity, reason: String)
    case placed(placement: Int, step: Step, hosts: [PeerIdentity])
    case assigned(generation: Generation, virtualWorkers: [String: [Int]])
    /// Steps below this one may run, from now on, after so much time spent in training.
    case limit(Step, trainingSeconds: Double)
    case evaluated(CoordinatorMachine.EvaluationSummary)
    case checkpoint(Step)
    case finished(step: Step, exitCode: Int)
    /// Another coordinator goes on with the run of one that died.
    case tookOver
    /// The loss of this step is not a finite number: the run ends with its weights, or the last
    /// finite ones before them.
    case diverged(Step)
    /// The run begins again at this checkpoint, with nobody of before.
    case resumed(Step)
    /// From this step on these settings differ from those before it, because somebody wanted that.
    case changed(step: Step, settings: [SettingChange], formerSource: String?)
}
