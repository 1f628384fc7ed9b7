import ClusterProtocol
import ClusterRuntime
import FoundationEssentials
import RunFiles
import TestSupport
import Testing

@Suite struct StatusPresentationTests {
    @Test func tableSaysEverything() throws {
        let lines = StatusTable.lines(.live(try StatusSample.status()))
        let text = lines.joined(separator: "\n")
        for part in [
            "run /runs/one",
            "training  step 41 of 9,380  epoch 1 of 10  1,234 images/s  loss 0.5000",
            "up 1 min 5 s", "workers 0 of 2", "shards 1 of 2", "takeovers 1", "members lost 2",
            "rebalanced 3", "worker-2f81c09b55ab3d10", "nöde", "silent", "0-3,7", "2345 ms ago",
            "1.23 ms", "0.68 ms", "100 MiB", "compute, 2.3 x the fastest",
            "settings changed at step 20: data.partitions 8 -> 4",
            "not healthy: no worker is at work; 1 of 2 shards not in place: 0",
        ] { #expect(text.contains(part), "\(part)") }
        // Text from outside does not steer the terminal.
        #expect(!text.contains("\u{1B}"))
        #expect(text.contains("worker 9 on bad?[2Jhost"))
        let title = try #require(lines.first { $0.hasPrefix("member") })
        let row = try #require(lines.first { $0.hasPrefix("worker 1") })
        let host = try #require(title.range(of: "host")).lowerBound
        let offset = title.distance(from: title.startIndex, to: host)
        #expect(row[row.index(row.startIndex, offsetBy: offset)...].hasPrefix("nöde"))
    }

    private struct Live: Decodable {
        struct Member: Decodable {
            var identity: String
            var state: String
            var virtual_workers: String
            var last_heard_ms: Int
            var compute_us: Int?
            var resident_bytes: Int?
            var slow: String?
        }
        var state: String
        var healthy: Bool
        var problems: [String]
        var loss: Double?
        var images_per_second: Double
        var evaluated_chunks: Int?
        var settings_changes: [String]
        var members: [Member]
    }

    @Test func jsonReadsBack() throws {
        let text = StatusJSON.text(.live(try StatusSample.status()))
        #expect(!text.contains("\n"))
        let live = try JSONDecoder().decode(Live.self, from: Data(text.utf8))
        #expect(live.state == "training")
        #expect(!live.healthy)
        #expect(live.problems.count == 2)
        #expect(live.loss == 0.5)
        #expect(live.images_per_second == 1234.5)
        #expect(live.evaluated_chunks == nil)
        #expect(live.settings_changes == ["step 20: data.partitions 8 -> 4"])
        let member = try #require(live.members.first)
        #expect(member.identity == "worker-2f81c09b55ab3d10")
        #expect(member.state == "silent")
        #expect(member.virtual_workers == "0-3,7")
        #expect(member.last_heard_ms == 2345)
        #expect(member.compute_us == 1234)
        #expect(member.resident_bytes == 100 << 20)
        #expect(member.slow == "compute")
    }

    /// Members choose their names and hosts; a page with the longest ones can still be sent.
    @Test func aPageOfTheWorstFitsAFrame() throws {
        let worst = #"\u0001"#
        func times(_ count: Int) -> String { String(repeating: worst, count: count) }
        let ranges = Array(repeating: "12345-12346", count: 8).joined(separator: ",") + ",..."
        let member = #"""
            {"identity": "\#(times(64))", "name": "\#(times(32))", "role": "coordinator",
             "host": "\#(times(64))", "processIdentifier": -9223372036854775808,
             "threadCount": -9223372036854775808, "state": "preparing",
             "virtualWorkers": "\#(ranges)", "virtualWorkerCount": 65536, "shards": "\#(ranges)",
             "shardCount": 65536, "generation": 281474976710655, "step": 281474976710655,
             "lastHeardMilliseconds": 1000000000000000, "computeMicroseconds": -9223372036854775808,
             "inputMicroseconds": -9223372036854775808, "waitMicroseconds": -9223372036854775808,
             "residentByteCount": -9223372036854775808, "slowPhase": "compute",
             "slowFactor": -2.2250738585072014e-308}
            """#
        let count = ClusterStatus.maximumPageSize
        let page = Array(repeating: member, count: count).joined(separator: ",")
        let status = try StatusSample.status(members: "[\(page)]", memberCount: 4096)
        #expect(status.members.count == count)
        let bytes = ControlCodec.encode(.status(status))
        #expect(bytes.count < ControlCodec.maximumByteCount, "\(bytes.count)")
        #expect(try ControlCodec.decode(bytes) == .status(status))
    }

    @Test func aFinishedRunIsReadFromItsFiles() throws {
        let directory = try TemporaryDirectory()
        try directory.write([], "config.yaml")
        let query = StatusQuery(.directory(RunDirectory(directory.path)))
        let early = failure { try query.ask(within: .milliseconds(50)) }
        #expect(early?.kind == .lost)
        #expect(early?.text.contains("no coordinator has begun to listen") == true)
        try directory.write(
            Array(
                #"""
                {"steps": 7, "exit_code": 130, "reason": "interrupted", "weights_sha256": "ab",
                 "test_accuracy": null, "images_per_second": 12.5}
                """#.utf8), "summary.json")
        let answer = try query.ask(within: .milliseconds(50))
        guard case .finished(let run) = answer else {
            Issue.record("\(answer)")
            return
        }
        #expect(run.exitCode == 130)
        #expect(run.step == 7)
        #expect(run.testAccuracy == nil)
        #expect(
            StatusTable.lines(answer)[1] == "ended at step 7: interrupted (exit code 130)")
        let json = StatusJSON.text(answer)
        #expect(json.contains(#""state":"finished","healthy":false,"exit_code":130"#), "\(json)")
        try directory.write(Array("{".utf8), "summary.json")
        #expect(failure { try query.ask(within: .milliseconds(50)) }?.kind == .runDirectory)
    }

    @Test func whatIsNoRunDirectory() {
        let query = StatusQuery(.directory(RunDirectory("/nowhere")))
        #expect(failure { try query.ask(within: .milliseconds(50)) }?.kind == .runDirectory)
    }
}
