import ClusterProtocol
import Threads

/// Writes a run's `metrics.jsonl`, `ledger.jsonl` and `journal.jsonl` on its own thread, in the
/// order in which lines are handed over. So a slow or hanging disk does not stop the coordinator.
///
/// The memory is bounded. The files keep a backlog (`AppendingFile`), and at most
/// `maximumByteCount` bytes of steps wait here. Beyond that, lines of steps are lost, and
/// `Progress.failure` says so.
///
/// Threading: called by any thread.
package final class RecordWriter: Sendable {
    /// How far the files are.
    package struct Progress: Hashable, Sendable {
        /// The number of steps whose lines were handed to the operating system.
        package var recordedCount: Int
        /// The number of journal lines that were synced to the disk or could not be.
        package var journalCount = 0
        /// The number of requests to sync the ledger that were carried out or could not be.
        package var durableCount = 0
        /// The present error of the files, if any.
        package var failure: RunError?
        /// Whether another coordinator has taken the run over. Nothing more is written then.
        package var isFenced = false
    }

    fileprivate enum Job: Sendable {
        case steps(metrics: String, ledger: String, recordedCount: Int)
        case journal(String)
        case makeDurable
        case replace(path: String, text: String)
    }

    private struct State {
        var jobs: [Job] = []
        var byteCount = 0
        var isClosed = false
        var hasLostLines = false
        /// The start of the job that the thread is working on; nil when the thread waits.
        var workingSince: Duration?
        var progress = Progress(recordedCount: 0)

        var isIdle: Bool { jobs.isEmpty && workingSince == nil }
    }

    /// The most bytes that wait for the thread: the lines of hours of steps.
    private static let maximumByteCount = 64 << 20

    private let monitor = Monitor(State())

    /// Starts the writer's thread.
    ///
    /// - Parameters:
    ///   - metrics: the metrics.
    ///   - ledger: the ledger.
    ///   - journal: the journal.
    ///   - recordedCount: the number of steps whose lines the files already hold.
    ///   - fence: asked before each write whether this process is still the run's coordinator.
    ///   - onProgress: called on the writer's thread when `progress` has changed.
    package init(
        metrics: sending AppendingFile, ledger: sending AppendingFile,
        journal: sending AppendingFile, recordedCount: Int, fence: RunFence,
        onProgress: @escaping @Sendable () -> Void
    ) {
        let monitor = monitor
        monitor.change { $0.progress.recordedCount = recordedCount }
        let files = Files(
            metrics: metrics, ledger: ledger, journal: journal, fence: fence,
            progress: Progress(recordedCount: recordedCount))
        // The thread ends when the writer is closed. Nothing can end a write that hangs.
        _ = WorkThread(name: "records") {
            while let job = Self.next(monitor) {
                files.carryOut(job)
                let isChanged = monitor.change { state -> Bool in
                    state.workingSince = nil
                    if state.hasLostLines { files.noteLostLines() }
                    defer { state.progress = files.progress }
                    return state.progress != files.progress
                }
                if isChanged { onProgress() }
            }
        }
    }

    /// Waits for the next job. Returns nil when the writer is closed and no job is left.
    private static func next(_ monitor: Monitor<State>) -> Job? {
        monitor.wait { state -> Job?? in
            guard !state.jobs.isEmpty else { return state.isClosed ? .some(nil) : nil }
            let job = state.jobs.removeFirst()
            state.byteCount -= job.byteCount
            state.workingSince = SteadyClock.now
            return job
        }
    }

    // MARK: Handing over

    /// Hands over lines of steps.
    ///
    /// - Parameters:
    ///   - metrics: lines of the metrics, each with its newline.
    ///   - ledger: lines of the ledger, each with its newline.
    ///   - recordedCount: the number of steps that are recorded with these lines.
    package func write(metrics: String, ledger: String, recordedCount: Int) {
        add(.steps(metrics: metrics, ledger: ledger, recordedCount: recordedCount))
    }

    /// Hands over a line of the journal, without its newline.
    package func write(journal line: String) { add(.journal(line)) }

    /// Asks for the ledger to be synced. `Progress.durableCount` counts the request once it is
    /// carried out.
    package func makeDurable() { add(.makeDurable) }

    /// Replaces a file atomically, after all that was handed over before.
    package func replace(_ path: String, with text: String) { add(.replace(path: path, text: text)) }

    private func add(_ job: Job) {
        monitor.change { state in
            guard state.byteCount + job.byteCount <= Self.maximumByteCount || job.isEssential else {
                state.hasLostLines = true
                return
            }
            state.jobs.append(job)
            state.byteCount += job.byteCount
        }
    }

    /// Lets the thread end once everything is written, and waits for that, but not longer than
    /// `limit`.
    ///
    /// - Returns: whether everything is written.
    package func close(within limit: Duration) -> Bool {
        monitor.change { $0.isClosed = true }
        return waitUntilIdle(within: limit)
    }

    /// Waits until everything is written, but not longer than `limit`.
    ///
    /// - Returns: whether everything is written.
    package func waitUntilIdle(within limit: Duration) -> Bool {
        monitor.wait(within: limit) { $0.isIdle ? true : nil } ?? false
    }

    /// How far the files are now.
    package var progress: Progress { monitor.look { $0.progress } }

    /// The time that the present job has taken so far, zero when there is none. A long time means
    /// that the disk does not answer.
    package var stalledFor: Duration {
        monitor.look { $0.workingSince.map { SteadyClock.now - $0 } ?? .zero }
    }

    // MARK: The thread's side

    /// The files as the writer's thread sees them.
    ///
    /// Threading: used by the writer's thread, from its beginning on.
    private final class Files: @unchecked Sendable {
        // Safety: `init` of the writer creates this object and hands it to the thread. No other
        // thread uses it.
        private let metrics: AppendingFile
        private let ledger: AppendingFile
        private let journal: AppendingFile
        private let fence: RunFence
        private(set) var progress: Progress

        init(
            metrics: AppendingFile, ledger: AppendingFile, journal: AppendingFile,
            fence: RunFence, progress: Progress
        ) {
            self.metrics = metrics
            self.ledger = ledger
            self.journal = journal
            self.fence = fence
            self.progress = progress
        }

        func carryOut(_ job: Job) {
            do throws(RunError) { try fence.requireHeld() } catch {
                progress.failure = error
                progress.isFenced = true
                return
            }
            // A line that a full disk did not take is tried again as soon as there may be room.
            if journal.failure != nil { journal.flush(durable: true) }
            switch job {
            case .steps(let metricsLines, let ledgerLines, let count):
                metrics.append(metricsLines)
                ledger.append(ledgerLines)
                metrics.flush()
                ledger.flush()
                if ledger.failure == nil { progress.recordedCount = count }
            case .journal(let line):
                journal.append(line + "\n")
                journal.flush(durable: true)
                progress.journalCount += 1
            case .makeDurable:
                metrics.flush()
                ledger.flush(durable: true)
                progress.durableCount += 1
            case .replace(let path, let text):
                do throws(RunError) { try FileSystem.replace(path, with: text) } catch {
                    progress.failure = error
                    return
                }
            }
            progress.failure = metrics.failure ?? ledger.failure ?? journal.failure
        }

        func noteLostLines() {
            progress.failure =
                progress.failure
                ?? .storage("the disk of the run directory did not answer: lines of steps are lost")
        }
    }
}

extension RecordWriter.Job {
    fileprivate var byteCount: Int {
        switch self {
        case .steps(let metrics, let ledger, _): metrics.utf8.count + ledger.utf8.count
        case .journal(let line): line.utf8.count
        case .makeDurable: 0
        case .replace(_, let text): text.utf8.count
        }
    }

    /// Whether the job is kept however much waits. Such jobs are few and short.
    fileprivate var isEssential: Bool {
        if case .steps = self { false } else { true }
    }
}
