import ClusterProtocol
import Logging
import Threads

/// Notices when the run directory's disk, or whoever reads standard output, takes nothing any more.
///
/// The run goes on meanwhile; what must be on disk before somebody is told waits.
struct StorageWatch {
    /// What is said of it, once when it begins and once when it is over.
    struct Notice {
        /// For the log.
        var sentence: String
        /// For people.
        var text: String
        var metadata: Logger.Metadata
    }

    /// A checkpoint of a large model may take this long on a slow disk.
    private static let checkpointPatience = Duration.seconds(30)

    private let patience: Duration
    /// How long the disk has not answered, when that is long.
    private(set) var diskStall: Duration?
    private var screenStall: Duration?
    private var leftOutCount = 0

    /// - Parameter patience: longer than this nothing takes that is well.
    init(patience: Duration) { self.patience = patience }

    /// - Parameters:
    ///   - records: how long the writer of ledger, journal and metrics has been at one thing.
    ///   - checkpoints: the time that the writer of checkpoints has.
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
