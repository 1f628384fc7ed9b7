import ClusterProtocol
import FoundationEssentials
import Threads

/// A line of `journal.jsonl`.
package struct JournalLine: Codable {
    /// The time of the entry in seconds since 1970.
    package var time: Double
    /// The event.
    package var entry: JournalEntry

    /// Creates a line.
    package init(time: Double, entry: JournalEntry) {
        self.time = time
        self.entry = entry
    }
}

/// Reads what earlier coordinators of a run have left: `journal.jsonl` and the endpoint file.
package enum JournalReader {
    /// Reads the journal of a run. The result is empty when there is no journal.
    ///
    /// A last line that a crash left incomplete is ignored (see `WholeLines`). A line that cannot
    /// be decoded, or holds numbers that no run can have, is ignored too.
    package static func recovery(
        _ directory: RunDirectory
    ) throws(RunError) -> CoordinatorMachine.Recovery {
        guard FileSystem.exists(directory.journal) else { return .init() }
        return recovery(try FileSystem.read(directory.journal), now: SteadyClock.wallSeconds)
    }

    /// Returns what a journal says.
    ///
    /// - Parameters:
    ///   - journal: the content of the file.
    ///   - now: the present time in seconds since 1970.
    package static func recovery(
        _ journal: [UInt8], now: Double
    ) -> CoordinatorMachine.Recovery {
        var recovery = CoordinatorMachine.Recovery()
        var lastLimit: Double?
        for line in WholeLines(journal).lines {
            guard let line = try? JSONDecoder().decode(JournalLine.self, from: Data(line)),
                isPlausible(line.time), isPlausible(line.entry)
            else { continue }
            recovery.add(line.entry)
            switch line.entry {
            case .limit: lastLimit = line.time
            // The workers rest until the next limit.
            case .evaluated, .resumed, .finished: lastLimit = nil
            default: break
            }
        }
        // The workers went on with steps while there was no coordinator, so that time counts.
        if let lastLimit {
            recovery.trainingSeconds += max(0, now - lastLimit)
        }
        return recovery
    }

    /// Returns whether the numbers of an entry can be those of a run. Sums of other numbers would
    /// overflow.
    private static func isPlausible(_ entry: JournalEntry) -> Bool {
        switch entry {
        case .limit(_, let seconds): isPlausible(seconds)
        case .evaluated(let summary):
            isPlausible(summary.trainingSeconds)
                && (0..<1 << 48).contains(summary.recordCount)
                && (0...summary.recordCount).contains(summary.correctCount)
                && summary.judgement?.isPlausible ?? true
        default: true
        }
    }

    /// Returns whether a time is between 0 and 1e12 seconds, about thirty thousand years.
    private static func isPlausible(_ seconds: Double) -> Bool { (0...1e12).contains(seconds) }

    /// Returns the endpoint that the run's last coordinator announced, or nil when none is known.
    package static func announced(_ directory: RunDirectory) -> String? {
        guard let bytes = try? FileSystem.read(directory.endpoint) else { return nil }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").first.map(String.init)
    }

    /// Returns the endpoints that the run's last coordinator listened at, which its members know.
    /// They are the third to fifth line of the endpoint file.
    ///
    /// - Returns: the endpoints for control messages, for state and, if the file names it, for
    ///   data; nil when the file cannot be read.
    package static func endpoints(
        _ directory: RunDirectory
    ) -> (control: Endpoint, state: Endpoint, data: Endpoint?)? {
        guard let bytes = try? FileSystem.read(directory.endpoint) else { return nil }
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
        guard (4...5).contains(lines.count), let control = Endpoint(lines[2]),
            let state = Endpoint(lines[3])
        else { return nil }
        return (control, state, lines.count == 5 ? Endpoint(lines[4]) : nil)
    }
}
