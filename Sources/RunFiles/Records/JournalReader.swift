import ClusterProtocol
import FoundationEssentials
import Threads

/// A line of `journal.jsonl`.
package struct JournalLine: Codable {
    /// Seconds since 1970.
    package var time: Double
    package var entry: JournalEntry

    package init(time: Double, entry: JournalEntry) {
        self.time = time
        self.entry = entry
    }
}

/// Reads `journal.jsonl`: what an earlier coordinator of the run has said of itself.
package enum JournalReader {
    /// A line that a crash has torn is not there (`WholeLines`); one that cannot be read is passed
    /// over.
    package static func recovery(
        _ directory: RunDirectory
    ) throws(Failure) -> CoordinatorMachine.Recovery {
        guard FileSystem.exists(directory.journal) else { return .init() }
        return recovery(try FileSystem.read(directory.journal), now: SteadyClock.wallSeconds)
    }

    /// - Parameter now: seconds since 1970.
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
            // Everyone rests until there is another limit.
            case .evaluated, .resumed, .finished: lastLimit = nil
            default: break
            }
        }
        // Steps went on while nobody coordinated, so that time counts.
        if let lastLimit {
            recovery.trainingSeconds += max(0, now - lastLimit)
        }
        return recovery
    }

    /// Whether the numbers of a line can be those of a run: sums of others would not hold.
    private static func isPlausible(_ entry: JournalEntry) -> Bool {
        switch entry {
        case .placed(let placement, _, _): (0..<1 << 48).contains(placement)
        case .limit(_, let seconds): isPlausible(seconds)
        case .evaluated(let summary):
            isPlausible(summary.trainingSeconds)
                && (0..<1 << 48).contains(summary.recordCount)
                && (0...summary.recordCount).contains(summary.correctCount)
        default: true
        }
    }

    /// At most thirty thousand years.
    private static func isPlausible(_ seconds: Double) -> Bool { (0...1e12).contains(seconds) }

    /// Where the run's last coordinator said that it is reached.
    package static func announced(_ directory: RunDirectory) -> String? {
        guard let bytes = try? FileSystem.read(directory.endpoint) else { return nil }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").first.map(String.init)
    }

    /// Where the run's last coordinator listened, which its members know: the last three lines.
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
