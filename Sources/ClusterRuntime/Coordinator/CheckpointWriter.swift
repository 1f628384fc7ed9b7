import ClusterProtocol
import RunFiles
import Threads

/// Writes and reads checkpoints on a thread of its own, one after the other.
final class CheckpointWriter: Sendable {
    struct Written: Sendable {
        var step: Int
        var weightsSHA256: String
        var failure: Failure?
        /// The weights hold something that is not a number, so nothing was written.
        var isNotFinite = false

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
        var workingSince: Duration?
        /// Steps of checkpoints that wait to be read.
        var wanted: Set<Int> = []
    }

    /// Checkpoints that wait at most; each holds the whole state of the model.
    private static let maximumWaitingCount = 2

    private let monitor = Monitor(State())

    /// - Parameters:
    ///   - requiresFinite: what holds something else is not written.
    ///   - written: called on this thread after each write.
    ///   - read: called on this thread with a checkpoint that was asked for, if it is there.
    init(
        _ store: CheckpointStore, requiresFinite: Bool,
        written: @escaping @Sendable (Written) -> Void,
        read: @escaping @Sendable (Checkpoint) -> Void
    ) {
        let monitor = monitor
        // It ends when it is closed; nobody can end a write that hangs.
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
        do throws(Failure) {
            try store.write(checkpoint, instructionSet: instructionSet)
            store.prune(keeping: best.map { [$0] } ?? [])
        } catch {
            result.failure = error
        }
        return result
    }

    /// False when several are waiting already: this one is left out.
    ///
    /// - Parameter best: the step of the best checkpoint so far, which stays.
    func write(_ checkpoint: Checkpoint, instructionSet: String, best: Int?) -> Bool {
        monitor.change { state in
            guard state.jobs.count < Self.maximumWaitingCount, !state.isClosed else { return false }
            state.jobs.append(.write(checkpoint, instructionSet: instructionSet, best: best))
            return true
        }
    }

    /// Reads a checkpoint; one that waits to be read is not read twice.
    func read(step: Int) {
        monitor.change { state in
            guard !state.isClosed, state.wanted.insert(step).inserted else { return }
            state.jobs.append(.read(step: step))
        }
    }

    /// How long the disk has not answered.
    var stalledFor: Duration {
        monitor.look { $0.workingSince.map { SteadyClock.now - $0 } ?? .zero }
    }

    /// Waits until all that was handed in is done, but not longer than `limit`.
    ///
    /// - Returns: whether it is.
    @discardableResult
    func stop(within limit: Duration) -> Bool {
        monitor.change { $0.isClosed = true }
        return monitor.wait(within: limit) {
            $0.jobs.isEmpty && $0.workingSince == nil ? true : nil
        } ?? false
    }
}
