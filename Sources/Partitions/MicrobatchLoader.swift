import Threads

/// Reads microbatches ahead on a thread of its own, so that computing does not wait for data.
///
/// A bounded ring of buffers holds what was hinted at. Hints never block and never fail; what was
/// not hinted at, or did not fit, is read by whoever takes it. Either way the contents are the
/// same. In the steady state nothing is allocated.
///
/// Threading: every method may be called from any thread.
public final class MicrobatchLoader: Sendable {
    private let core: LoaderCore
    private let thread: WorkThread
    private let running = Monitor(true)

    /// - Parameters:
    ///   - bufferCount: microbatches in memory; twice the virtual workers of this process, and one
    ///     for each compute thread, keep it from waiting.
    ///   - prepareThread: called on the loader's thread before anything else.
    public init(
        dataSet: DataSet, plan: BatchPlan, bufferCount: Int,
        prepareThread: @escaping @Sendable () -> Void = {}
    ) {
        precondition(bufferCount >= 1, "bufferCount \(bufferCount), expected at least 1")
        precondition(
            plan.recordCount == dataSet.description.trainingCount,
            "a plan of \(plan.recordCount) records, expected \(dataSet.description.trainingCount)")
        let core = LoaderCore(dataSet: dataSet, plan: plan, bufferCount: bufferCount)
        self.core = core
        thread = WorkThread(name: "loader") {
            prepareThread()
            core.run()
        }
    }

    deinit { stop() }

    /// Says that these microbatches will be wanted; a hint given before changes nothing.
    public func prefetch(step: Int, virtualWorkers: some Sequence<Int>) {
        for virtualWorker in virtualWorkers { core.hint(step: step, virtualWorker: virtualWorker) }
    }

    /// The microbatch of a virtual worker in a step; the caller's until `recycle`.
    public func take(step: Int, virtualWorker: Int) throws(DataError) -> Microbatch {
        try core.take(step: step, virtualWorker: virtualWorker)
    }

    /// Gives a taken microbatch back.
    public func recycle(_ batch: Microbatch) { core.recycle(batch) }

    /// Ends the thread; microbatches can still be taken, and are then read by the taker.
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
