import ClusterProtocol
import Logging
import RunFiles

/// Checkpoints on their way from the shards to the disk, and the best one among them.
///
/// A snapshot waits for the coordinator's word, then for the ledger, which a checkpoint must never be
/// ahead of, then for the thread that writes.
///
/// Threading: the coordinator's socket thread only.
final class CheckpointFlow {
    private let writer: CheckpointWriter
    private let recorder: RunRecorder
    private let exchange: StateExchange
    private let bestPath: String
    private let log: Logger
    /// Takes results that are known at once, as those of the writer's thread come.
    private let post: (CheckpointWriter.Written) -> Void
    private var arrived: [Int: Checkpoint] = [:]
    private var awaitingLedger: [Int: (checkpoint: Checkpoint, request: Int)] = [:]
    private var best: BestCheckpoint?
    /// The step of the checkpoint that was written last.
    private(set) var lastWritten: Int
    /// The digest of that checkpoint's weights.
    private(set) var lastWeightsSHA256: String
    /// Why the last checkpoint that failed could not be written.
    private(set) var failure: Failure?

    /// Creates the flow of a run that begins, or goes on, with a checkpoint.
    init(
        _ plan: CoordinatorProcess.Plan, writer: CheckpointWriter, recorder: RunRecorder,
        exchange: StateExchange, log: Logger, post: @escaping (CheckpointWriter.Written) -> Void
    ) {
        self.writer = writer
        self.recorder = recorder
        self.exchange = exchange
        self.log = log
        self.post = post
        bestPath = plan.settings.directory.bestCheckpoint
        lastWritten = plan.start.step
        lastWeightsSHA256 = plan.start.weightsSHA256
        let isOtherData = (plan.recovery?.bestCorrectCount ?? -1) < 0
        best =
            plan.settings.isResuming && !isOtherData
            ? BestCheckpoint.newest(plan.settings.directory, plan.recovery, plan.store) : nil
    }

    /// Keeps a snapshot until the coordinator says what becomes of it.
    func keep(_ snapshot: Checkpoint) { arrived[snapshot.step] = snapshot }

    /// Begins to write the snapshot of a step: asks for the ledger first.
    func write(_ step: Step) {
        guard let checkpoint = arrived[step.value] else { return }
        arrived = arrived.filter { $0.key > step.value }
        awaitingLedger[step.value] = (checkpoint, recorder.makeDurable())
    }

    /// Writes what the ledger has caught up with.
    func advance(_ records: RecordWriter.Progress, instructionSet: String) {
        for step in awaitingLedger.keys.sorted() {
            guard let waiting = awaitingLedger[step], waiting.request <= records.durableCount else {
                continue
            }
            awaitingLedger[step] = nil
            write(waiting.checkpoint, after: records, instructionSet: instructionSet)
        }
    }

    private func write(
        _ checkpoint: Checkpoint, after records: RecordWriter.Progress, instructionSet: String
    ) {
        if let failure = records.failure {
            return post(
                .init(
                    step: checkpoint.step, weightsSHA256: checkpoint.weightsSHA256,
                    failure: failure))
        }
        if !writer.write(checkpoint, instructionSet: instructionSet, best: best?.step) {
            // The last one of the run is asked for until it is there.
            exchange.takeAgain(step: checkpoint.step)
            log.warning("left a checkpoint out: the disk is too slow")
        }
    }

    /// Takes in what became of a checkpoint, and returns what the coordinator is to decide by.
    func take(_ written: CheckpointWriter.Written) -> CoordinatorMachine.Event {
        if written.isNotFinite {
            exchange.takeAgain(step: written.step)
            return .checkpointNotFinite(Step(written.step))
        }
        if let failure = written.failure {
            self.failure = failure
            exchange.takeAgain(step: written.step)
            log.error(
                "checkpoint not written",
                metadata: [LogKey.errorDetail: "\(failure.text)", LogKey.step: "\(written.step)"])
            return .checkpointFailed(Step(written.step))
        }
        lastWeightsSHA256 = written.weightsSHA256
        lastWritten = written.step
        if best?.step == written.step { nameBest() }
        log.info("checkpoint written", metadata: [LogKey.step: "\(written.step)"])
        return .checkpointWritten(Step(written.step))
    }

    /// Takes an evaluation into account: the checkpoint with the highest test accuracy stays,
    /// however many come after it.
    func consider(_ summary: CoordinatorMachine.EvaluationSummary) {
        guard summary.isFinite, summary.recordCount > 0 else { return }
        let candidate = BestCheckpoint(summary)
        guard best.map({ candidate.accuracy > $0.accuracy }) ?? true else { return }
        best = candidate
        if candidate.step == lastWritten { nameBest() }
    }

    /// Names the best checkpoint, which is on disk.
    private func nameBest() {
        if let best { recorder.replace(bestPath, with: best.json) }
    }
}
