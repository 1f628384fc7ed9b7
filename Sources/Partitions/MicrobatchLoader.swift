import Threads

/// Reads microbatches ahead on its own thread, so that the compute threads do not wait for data.
///
/// A ring with a fixed number of buffers holds the microbatches that were hinted at. Hints never
/// block and never fail. A microbatch that was not hinted at, or did not fit, is read by the thread
/// that takes it; its contents are the same. In the steady state no memory is allocated.
///
/// Records that are not in memory lie at random places of their files. The order of records is known
/// far ahead, so the thread announces those of the next steps to the system (`posix_fadvise`), which
/// reads many of them at once; 8 MiB of records are on their way at a time. On a disk with 80 µs a
/// read, records of 9 KB came at 12,600 a second singly, at 20,500 with 16 threads that each wait for
/// one, and at 43,800 to 53,000 announced 64 to 512 ahead; 2,000 ahead were slower, at 33,700. So
/// there is one thread, and no buffer for stored bytes: the system's cache of files is that buffer.
///
/// Threading: every method may be called from any thread.
public final class MicrobatchLoader: Sendable {
    private let core: LoaderCore
    private let thread: WorkThread
    private let running = Monitor(true)

    /// Creates a loader and starts its thread.
    ///
    /// - Parameters:
    ///   - dataSet: the data set whose training split is read.
    ///   - plan: the plan that chooses the records; it must cover all training records.
    ///   - bufferCount: the number of buffers, at least 1. Twice the number of this process's
    ///     virtual workers, plus one for each compute thread, is enough that the loader does not
    ///     wait.
    ///   - stepCount: the number of steps of the run; nothing is read ahead beyond them.
    ///   - prepareThread: called on the loader's thread before anything else.
    public init(
        dataSet: DataSet, plan: BatchPlan, bufferCount: Int, stepCount: Int = .max,
        prepareThread: @escaping @Sendable () -> Void = {}
    ) {
        precondition(bufferCount >= 1, "bufferCount \(bufferCount), expected at least 1")
        precondition(
            plan.recordCount == dataSet.description.trainingCount,
            "a plan of \(plan.recordCount) records, expected \(dataSet.description.trainingCount)")
        let core = LoaderCore(
            dataSet: dataSet, plan: plan, bufferCount: bufferCount, stepCount: stepCount)
        self.core = core
        thread = WorkThread(name: "loader") {
            prepareThread()
            core.run()
        }
    }

    deinit { stop() }

    /// Announces that these microbatches will be needed. A repeated hint changes nothing.
    public func prefetch(step: Int, virtualWorkers: some Sequence<Int>) {
        for virtualWorker in virtualWorkers { core.hint(step: step, virtualWorker: virtualWorker) }
    }

    /// Opens the partitions that a virtual worker needs in the epoch of a step, which takes time at
    /// the first of its steps: their files are read and compared with their SHA-256. For the next
    /// epoch this is done ahead. Records can be taken without this call, too.
    ///
    /// - Throws: the reason when a partition cannot be read or is not as it was.
    public func open(step: Int, virtualWorker: Int) throws(DataError) {
        try core.open(step: step, virtualWorker: virtualWorker)
    }

    /// Returns the microbatch of a virtual worker in a step. The caller owns it until
    /// `recycle(_:)`.
    ///
    /// - Throws: the reason when the records cannot be read.
    public func take(step: Int, virtualWorker: Int) throws(DataError) -> Microbatch {
        try core.take(step: step, virtualWorker: virtualWorker)
    }

    /// Gives a taken microbatch back to the loader.
    public func recycle(_ batch: Microbatch) { core.recycle(batch) }

    /// Ends the loader's thread and waits for it. Microbatches can still be taken afterwards; the
    /// calling thread then reads them.
    public func stop() {
        let wasRunning = running.change { state in
            defer { state = false }
            return state
        }
        guard wasRunning else { return }
        core.stop()
        thread.join()
    }
}
