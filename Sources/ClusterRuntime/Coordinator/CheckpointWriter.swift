import ClusterProtocol
import Threads

/// Writes checkpoints on a thread of its own, one after the other.
final class CheckpointWriter: Sendable {
    struct Written: Sendable {
        var step: Int
        var weightsSHA256: String
        var failure: Failure?
    }

    private struct Job: Sendable {
        var checkpoint: Checkpoint
        var instructionSet: String
        var best: Int?
    }

    private let queue = BlockingQueue<Job>(bound: 4)
    private let thread: WorkThread

    init(_ store: CheckpointStore, done: @escaping @Sendable (Written) -> Void) {
        let queue = queue
        thread = WorkThread(name: "checkpoints") {
            while let job = queue.pop() {
                var failure: Failure?
                do throws(Failure) {
                    try store.write(job.checkpoint, instructionSet: job.instructionSet)
                    store.prune(keeping: job.best.map { [$0] } ?? [])
                } catch {
                    failure = error
                }
                done(
                    Written(
                        step: job.checkpoint.step, weightsSHA256: job.checkpoint.weightsSHA256,
                        failure: failure))
            }
        }
    }

    /// False when several are waiting already: this one is left out.
    ///
    /// - Parameter best: the step of the best checkpoint so far, which stays.
    func write(_ checkpoint: Checkpoint, instructionSet: String, best: Int?) -> Bool {
        queue.push(Job(checkpoint: checkpoint, instructionSet: instructionSet, best: best))
    }

    /// Waits until all that was handed in is written.
    func stop() {
        queue.close()
        thread.join()
    }
}
