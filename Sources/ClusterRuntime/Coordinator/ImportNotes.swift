import Logging
import Partitions
import Synchronization
import Threads

/// Writes into the log how far an import of data is, at most every five seconds.
final class ImportNotes: Sendable {
    private static let interval = Duration.seconds(5)

    private let log: Logger
    private let next: Mutex<Duration>

    init(_ log: Logger) {
        self.log = log
        next = Mutex(SteadyClock.now + Self.interval)
    }

    /// An importer into the user's cache that reports here; nil for a user without a cache.
    var importer: DataImport? {
        DataCache.standard.map { cache in
            DataImport(cache: cache) { [self] done, total in
                let isTime = next.withLock { next in
                    guard SteadyClock.now >= next else { return false }
                    next = SteadyClock.now + Self.interval
                    return true
                }
                if isTime { log.info("importing data: \(done) of \(total) records") }
            }
        }
    }
}
