import ClusterProtocol
import RunFiles
import Threads

/// Writes and reads checkpoints on its own thread, one after the other.
///
/// Threading: any thread may call.
final class CheckpointWriter: Sendable {
    /// The result of a write.
    struct Written: Sendable {
        /// The step of the checkpoint.
        var step: Int
        /// The SHA-256 of the checkpoint's weights, in hexadecimal digits.
        var weightsSHA256: String
        /// The reason why the checkpoint was not written; nil when it was.
        var failure: RunError?
        /// Whether the state contains a number that is not finite, so that nothing was written.
        var isNotFinite = false

        /// Returns the result for a checkpoint that was not written because a number is not finite.
        static func notFinite(_ checkpoint: Checkpoint) -> Written {
            Written(
                step: checkpoint.step, weightsSHA256: checkpoint.weightsSHA256, failure: nil,
                isNotFinite: true)
        }
    }

    private enum Job: Sendable {
        case write(Checkpoint, instructionSet: String, best: Int?)
        case read(step: Int)
    }

    private struct State {
        var jobs: [Job] = []
        var isClosed = false
        /// The start of the present job; nil when the thread waits.
        var workingSince: Duration?
        /// The steps of the checkpoints that wait to be read.
        var wanted: Set<Int> = []
    }

    /// The number of jobs that can wait before a checkpoint is left out. Each checkpoint holds the
    /// whole state of the model.
    private static let maximumWaitingCount = 2

    private let monitor = Monitor(State())

    /// Starts the thread.
    ///
    /// - Parameters:
    ///   - store: the run's checkpoints.
    ///   - requiresFinite: whether a checkpoint with a number that is not finite is left unwritten.
    ///   - written: called on this thread after each write.
    ///   - read: called on this thread with a checkpoint that was asked for, if it can be read.
    init(
        _ store: CheckpointStore, requiresFinite: Bool,
        written: @escaping @Sendable (Written) -> Void,
        read: @escaping @Sendable (Checkpoint) -> Void
    ) {
        let monitor = monitor
        // The thread ends after `stop`. It is not joined, because a write that hangs cannot be
        // ended.
        _ = WorkThread(name: "checkpoints") {
            while let job = Self.next(monitor) {
                switch job {
                case .write(let checkpoint, let instructionSet, let best):
                    written(
                        requiresFinite && !checkpoint.isFinite
                            ? .notFinite(checkpoint)
                            : Self.write(checkpoint, store, instructionSet, best))
                case .read(let step):
                    let checkpoint = try? store.read(step: step)
                    monitor.change { state in _ = state.wanted.remove(step) }
                    if let checkpoint { read(checkpoint) }
                }
                monitor.change { $0.workingSince = nil }
            }
        }
    }

    private static func next(_ monitor: Monitor<State>) -> Job? {
        monitor.wait { state -> Job?? in
            guard !state.jobs.isEmpty else { return state.isClosed ? .some(nil) : nil }
            state.workingSince = SteadyClock.now
            return state.jobs.removeFirst()
        }
    }

    private static func write(
        _ checkpoint: Checkpoint, _ store: CheckpointStore, _ instructionSet: String, _ best: Int?
    ) -> Written {
        var result = Written(
            step: checkpoint.step, weightsSHA256: checkpoint.weightsSHA256, failure: nil)
        do throws(RunError) {
            try store.write(checkpoint, instructionSet: instructionSet)
            store.prune(keeping: best.map { [$0] } ?? [])
        } catch {
            result.failure = error
        }
        return result
    }

    /// Adds a checkpoint to those that wait. Returns false when several wait already; this one is
    /// then left out.
    ///
    /// - Parameters:
    ///   - instructionSet: the instruction set that the workers settled on.
    ///   - best: the step of the best checkpoint on disk, which is not removed.
    func write(_ checkpoint: Checkpoint, instructionSet: String, best: Int?) -> Bool {
        monitor.change { state in
            guard state.jobs.count < Self.maximumWaitingCount, !state.isClosed else { return false }
            state.jobs.append(.write(checkpoint, instructionSet: instructionSet, best: best))
            return true
        }
    }

    /// Asks for a checkpoint to be read. A checkpoint that waits to be read already is not read
    /// twice.
    func read(step: Int) {
        monitor.change { state in
            guard !state.isClosed, state.wanted.insert(step).inserted else { return }
            state.jobs.append(.read(step: step))
        }
    }

    /// The time that the present job has taken so far; zero when there is none. A long time means
    /// that the disk does not answer.
    var stalledFor: Duration {
        monitor.look { $0.workingSince.map { SteadyClock.now - $0 } ?? .zero }
    }

    /// Waits until everything that was handed over is done, but not longer than `limit`. Nothing
    /// more is taken then.
    ///
    /// - Returns: whether everything is done.
    @discardableResult
    func stop(within limit: Duration) -> Bool {
        monitor.change { $0.isClosed = true }
        return monitor.wait(within: limit) {
            $0.jobs.isEmpty && $0.workingSince == nil ? true : nil
        } ?? false
    }
}
