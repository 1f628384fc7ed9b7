import ClusterProtocol
import Logging
import RunFiles

/// Moves checkpoints from the shards to the disk, and keeps track of the best one. With early
/// stopping its metric says which one that is, otherwise the test accuracy.
///
/// A snapshot waits first for the coordinator's decision, then for the ledger, because a checkpoint
/// must never be ahead of the ledger, and then for the thread that writes.
///
/// Threading: the coordinator's socket thread only.
final class CheckpointFlow {
    private let writer: CheckpointWriter
    private let recorder: RunRecorder
    private let exchange: StateExchange
    private let bestPath: String
    private let log: Logger
    /// Takes results that are known at once, in the same way as those of the writer's thread.
    private let post: (CheckpointWriter.Written) -> Void
    /// The snapshots that wait for the coordinator's decision, by step.
    private var arrived: [Int: Checkpoint] = [:]
    /// The checkpoints that wait for the ledger, by step, with the number of the request to sync
    /// it.
    private var awaitingLedger: [Int: (checkpoint: Checkpoint, request: Int)] = [:]
    /// The best weights; nil before the first evaluation. Their checkpoint may be still to be written.
    private var best: BestCheckpoint?
    /// The best checkpoint that is on disk and in the file. It is kept until a better one is.
    private(set) var named: BestCheckpoint?
    /// Whether early stopping says which checkpoint is the best.
    private let isJudged: Bool
    /// Whether test records can be right or wrong. Otherwise only early stopping finds a checkpoint
    /// the best.
    private let hasAccuracy: Bool
    /// The step of the checkpoint that was written last.
    private(set) var lastWritten: Int
    /// The SHA-256 of the weights in the checkpoint that was written last.
    private(set) var lastWeightsSHA256: String
    /// The reason why a checkpoint could not be written, for the last one that failed; nil when
    /// none has.
    private(set) var failure: RunError?

    /// Creates the flow of a run that begins with the checkpoint of the plan, or goes on from it.
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
        isJudged = plan.settings.configuration.training.earlyStopping != nil
        hasAccuracy = plan.material.loss.hasAccuracy
        guard plan.settings.isResuming, plan.recovery?.best != nil, hasAccuracy || isJudged else {
            return
        }
        named = BestCheckpoint.read(plan.settings.directory)
        best = BestCheckpoint.newest(named, plan.recovery, hasAccuracy: hasAccuracy)
        // The coordinator before this one may have died before it named the checkpoint, or before the
        // checkpoint was there.
        if let best, best.step != named?.step,
            FileSystem.exists(plan.store.path(step: best.step))
        {
            nameBest()
        }
    }

    /// Keeps a snapshot until the coordinator decides about it.
    func keep(_ snapshot: Checkpoint) { arrived[snapshot.step] = snapshot }

    /// Begins to write the snapshot of a step: asks for the ledger to be synced first.
    func write(_ step: Step) {
        guard let checkpoint = arrived[step.value] else { return }
        arrived = arrived.filter { $0.key > step.value }
        awaitingLedger[step.value] = (checkpoint, recorder.makeDurable())
    }

    /// Writes the checkpoints that the ledger has caught up with.
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
        if !writer.write(checkpoint, instructionSet: instructionSet, best: named?.step) {
            // The last checkpoint of the run is requested until it is written.
            exchange.takeAgain(step: checkpoint.step)
            log.warning("left a checkpoint out: the disk is too slow")
        }
    }

    /// Takes in the result of a write, and returns the event for the coordinator's machine.
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

    /// Takes in an evaluation. The best checkpoint is kept, however many come after it.
    func consider(_ summary: CoordinatorMachine.EvaluationSummary) {
        guard hasAccuracy || isJudged, summary.isFinite, summary.recordCount > 0 else { return }
        let candidate = BestCheckpoint(summary, hasAccuracy: hasAccuracy)
        if isJudged {
            guard summary.isBestSoFar == true else { return }
        } else {
            guard best.map({ candidate.accuracy ?? 0 > $0.accuracy ?? 0 }) ?? true else { return }
        }
        best = candidate
        if candidate.step == lastWritten { nameBest() }
    }

    /// Writes the name of the best checkpoint, which is on disk, to its file.
    private func nameBest() {
        guard let best else { return }
        named = best
        recorder.replace(bestPath, with: best.json)
    }
}
