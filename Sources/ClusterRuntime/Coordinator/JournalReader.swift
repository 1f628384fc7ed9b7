import ClusterProtocol
import FoundationEssentials
import Threads

/// A line of `journal.jsonl`.
struct JournalLine: Codable {
    /// Seconds since 1970.
    var time: Double
    var entry: JournalEntry
}

/// Reads `journal.jsonl`: what an earlier coordinator of the run has said of itself.
package enum JournalReader {
    /// A line that a crash has torn is not there (`WholeLines`); one that cannot be read is passed
    /// over.
    package static func recovery(
        _ directory: RunDirectory
    ) throws(Failure) -> CoordinatorMachine.Recovery {
        var recovery = CoordinatorMachine.Recovery()
        guard FileSystem.exists(directory.journal) else { return recovery }
        var lastLimit: Double?
        for line in WholeLines(try FileSystem.read(directory.journal)).lines {
            guard let line = try? JSONDecoder().decode(JournalLine.self, from: Data(line)) else {
                continue
            }
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
            recovery.trainingSeconds += max(0, SteadyClock.wallSeconds - lastLimit)
        }
        return recovery
    }

    /// Where the run's last coordinator said that it is reached.
    static func announced(_ directory: RunDirectory) -> String? {
        guard let bytes = try? FileSystem.read(directory.endpoint) else { return nil }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").first.map(String.init)
    }

    /// Where the run's last coordinator listened, which its members know: the last three lines.
    static func endpoints(
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
