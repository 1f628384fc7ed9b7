import ClusterProtocol
import FoundationEssentials
import Glibc
import Testing

/// Scenarios as text: a command, `----`, and what the machines say and do about it.
///
/// `CONVOY_REWRITE=1 swift test -c release --filter TranscriptTests` writes what they do now, and
/// the difference can then be read.
@Suite struct TranscriptTests {
    @Test(arguments: ["start", "worker-lost", "late-joiner", "refusals", "silence", "straggler"])
    func transcript(name: String) throws {
        let path = "\(#filePath)".split(separator: "/").dropLast().joined(separator: "/")
        let file = URL(filePath: "/\(path)/Transcripts/\(name).txt")
        let text = try String(decoding: Data(contentsOf: file), as: UTF8.self)
        let played = try play(text)
        if getenv("CONVOY_REWRITE") != nil {
            try Data(played.utf8).write(to: file)
            return
        }
        let (expected, found) = (lines(text), lines(played))
        guard expected != found else { return }
        let first = zip(expected, found).prefix { $0 == $1 }.count
        Issue.record(
            """
            \(name).txt, line \(first + 1):
            expected: \(expected.dropFirst(first).first ?? "the end")
            found:    \(found.dropFirst(first).first ?? "the end")
            CONVOY_REWRITE=1 writes the transcript anew.
            """)
    }

    private func lines(_ text: String) -> [Substring] {
        text.split(separator: "\n", omittingEmptySubsequences: false)
    }

    /// Plays a transcript: returns its comments and commands, each with its present result.
    private func play(_ text: String) throws -> String {
        var result = ""
        var scenario: Scenario?
        var isOutput = false
        for line in lines(text) {
            if line.isEmpty || line.hasPrefix("#") {
                isOutput = false
                if line.hasPrefix("#") { result += "\(line)\n" }
                continue
            }
            if isOutput { continue }
            if line == "----" {
                isOutput = true
                continue
            }
            let output = try carryOut(String(line), &scenario)
            result += "\(line)\n----\n" + output.map { "\($0)\n" }.joined() + "\n"
        }
        return result
    }

    private func carryOut(_ command: String, _ scenario: inout Scenario?) throws -> [String] {
        let words = command.split(separator: " ").map(String.init)
        var settings: [String: String] = [:]
        for word in words {
            let pair = word.split(separator: "=").map(String.init)
            if pair.count == 2 { settings[pair[0]] = pair[1] }
        }
        if words[0] == "cluster" {
            scenario = Scenario(settings)
            return []
        }
        let argument = try #require(words.dropFirst().first, "\(command): an argument is missing")
        switch words[0] {
        case "start": scenario?.start(argument, settings)
        case "kill": scenario?.kill(argument, isSeen: settings["seen"] != "no")
        case "tick": scenario?.tick(milliseconds: try #require(Int(argument)))
        case "run-to": scenario?.run(to: try #require(Int(argument)))
        case "compute": scenario?.compute(PeerIdentity(rawValue: argument))
        default: Issue.record("\(command): no such command")
        }
        let lines = scenario?.lines ?? ["no cluster"]
        scenario?.lines = []
        return lines.isEmpty ? ["nothing"] : lines
    }
}
