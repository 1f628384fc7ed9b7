import ClusterProtocol
import Logging
import Threads

/// Notices when the disk of the run directory, or the reader of standard output, takes nothing
/// more.
///
/// The run goes on in the meantime. Whatever must be on disk before others are told waits.
struct StorageWatch {
    /// A warning, given once when a stall begins and once when it is over.
    struct Notice {
        /// The message for the log.
        var sentence: String
        /// The text for the terminal.
        var text: String
        /// The length of the stall, as metadata of the log entry.
        var metadata: Logger.Metadata
    }

    /// The shortest time after which a checkpoint counts as stalled. A large model may take this
    /// long on a slow disk.
    private static let checkpointPatience = Duration.seconds(30)

    private let patience: Duration
    /// The time for which the disk has not answered; nil when it answers.
    private(set) var diskStall: Duration?
    /// The time for which standard output has not been read; nil when it is read.
    private var screenStall: Duration?
    /// The number of lines that were left out when the last stall of standard output ended.
    private var leftOutCount = 0

    /// Creates a watch.
    ///
    /// - Parameter patience: the longest time that a healthy disk or reader takes.
    init(patience: Duration) { self.patience = patience }

    /// Returns the warnings that are due.
    ///
    /// - Parameters:
    ///   - records: the time that the present job of the writer of ledger, journal and metrics has
    ///     taken.
    ///   - checkpoints: the time that the present job of the writer of checkpoints has taken.
    ///   - screen: the state of standard output.
    mutating func look(
        records: Duration, checkpoints: Duration, screen: DeferredOutput.Condition
    ) -> [Notice] {
        lookAtDisk(records: records, checkpoints: checkpoints) + lookAtScreen(screen)
    }

    private mutating func lookAtDisk(records: Duration, checkpoints: Duration) -> [Notice] {
        let isStalled = records > patience || checkpoints > max(patience, Self.checkpointPatience)
        let time = max(records, checkpoints)
        defer { diskStall = isStalled ? time : nil }
        if isStalled, diskStall == nil {
            return [
                notice(
                    "the disk of the run directory does not answer", time,
                    "the run directory's disk has not answered for \(Self.seconds(time)) s; steps, "
                        + "heartbeats and status go on, and what must be on disk first waits")
            ]
        }
        if !isStalled, let diskStall {
            return [
                notice(
                    "the disk of the run directory answers again", diskStall,
                    "the run directory's disk answers again, after \(Self.seconds(diskStall)) s")
            ]
        }
        return []
    }

    private mutating func lookAtScreen(_ screen: DeferredOutput.Condition) -> [Notice] {
        let isStalled = screen.stalledFor > patience
        defer { screenStall = isStalled ? screen.stalledFor : nil }
        if isStalled, screenStall == nil {
            return [
                notice(
                    "standard output is not read", screen.stalledFor,
                    "nobody has read this output for \(Self.seconds(screen.stalledFor)) s; the run "
                        + "goes on, and lines that do not fit are left out")
            ]
        }
        if !isStalled, let screenStall {
            let count = screen.leftOutCount - leftOutCount
            leftOutCount = screen.leftOutCount
            var again = notice(
                "standard output is read again", screenStall,
                "this output is read again, after \(Self.seconds(screenStall)) s; "
                    + "\(count) lines were left out")
            again.metadata["log.lines"] = "\(count)"
            return [again]
        }
        return []
    }

    private func notice(_ sentence: String, _ time: Duration, _ text: String) -> Notice {
        Notice(sentence: sentence, text: text, metadata: ["time.seconds": "\(Self.seconds(time))"])
    }

    private static func seconds(_ time: Duration) -> Int { Int(time / .seconds(1)) }
}
