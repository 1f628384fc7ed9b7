import ClusterProtocol
import RunFiles

/// A cluster's status for people.
package enum StatusTable {
    private static let none = "-"

    /// Returns the lines for an answer.
    package static func lines(_ answer: StatusQuery.Answer) -> [String] {
        switch answer {
        case .live(let status): lines(status)
        case .finished(let run): lines(run)
        }
    }

    private static func lines(_ run: StatusQuery.FinishedRun) -> [String] {
        let accuracy = run.testAccuracy.map { ", test accuracy \(NumberText.fixed($0, 4))" } ?? ""
        return [
            "run \(run.run)",
            "ended at step \(NumberText.grouped(run.step)): \(TextTable.printable(run.reason)) "
                + "(exit code \(run.exitCode))\(accuracy)",
            "weights_sha256 \(TextTable.printable(run.weightsSHA256))",
        ] + changes(run.changes)
    }

    /// Returns the lines for a running cluster: its progress, its failures, a table of its members, its
    /// health.
    package static func lines(_ status: ClusterStatus) -> [String] {
        var lines = ["run \(TextTable.printable(status.run))", progress(status), cluster(status)]
        if let failures = failures(status.tally) { lines.append(failures) }
        lines += changes(status.changes)
        if !status.members.isEmpty { lines += [""] + members(status) + [""] }
        let problems = status.problems.map(TextTable.printable)
        lines.append(
            problems.isEmpty ? "healthy" : "not healthy: " + problems.joined(separator: "; "))
        return lines
    }

    private static func changes(_ texts: [String]) -> [String] {
        texts.map { "settings changed at \(TextTable.printable($0))" }
    }

    private static func progress(_ status: ClusterStatus) -> String {
        var words = [
            status.state.rawValue,
            "step \(NumberText.grouped(status.step)) of \(NumberText.grouped(status.stepCount))",
            "epoch \(status.epoch) of \(status.epochCount)",
            "\(NumberText.grouped(Int(min(max(0, status.imagesPerSecond), 1e15)))) images/s",
        ]
        if let loss = status.loss { words.append("loss \(NumberText.fixed(loss, 4))") }
        if let factor = status.rateFactor {
            words.append("learning rate x \(NumberText.significant(factor))")
        }
        if let done = status.evaluatedChunks {
            words.append("evaluated \(done) of \(status.evaluationChunkCount) chunks")
        }
        return words.joined(separator: "  ")
    }

    private static func cluster(_ status: ClusterStatus) -> String {
        [
            "coordinator up \(Progress.clock(Double(status.uptimeMilliseconds) / 1000))",
            "workers \(status.workerCount) of \(status.wantedWorkerCount)",
            "servers \(status.serverCount) of \(status.wantedServerCount)",
            "shards \(max(0, status.shardCount) - max(0, status.missingShardCount)) of "
                + "\(status.shardCount)",
            "generation \(status.generation)",
            "checkpoint at step \(NumberText.grouped(status.lastCheckpoint))",
            status.instructionSet.map(TextTable.printable) ?? "instruction set not settled",
        ].joined(separator: "  ")
    }

    private static func failures(_ tally: RunTally) -> String? {
        let counts = [
            ("takeovers", tally.takeovers), ("members lost", tally.lostMembers),
            ("shard losses", tally.shardLosses), ("refused", tally.refusals),
            ("rebalanced", tally.rebalances), ("disputed gradients", tally.disputes),
        ]
        var words = counts.filter { $0.1 > 0 }.map { "\($0.0) \($0.1)" }
        if !tally.suspects.isEmpty {
            let suspects = tally.suspects.map(TextTable.printable).joined(separator: ", ")
            words.append("contradicted: \(suspects)")
        }
        return words.isEmpty ? nil : "so far: " + words.joined(separator: "  ")
    }

    private static func members(_ status: ClusterStatus) -> [String] {
        var table = TextTable([
            ("member", .left), ("identity", .left), ("role", .left), ("host", .left),
            ("pid", .right), ("threads", .right), ("state", .left), ("virtual workers", .left),
            ("shards", .left), ("generation", .right), ("step", .right), ("heard", .right),
            ("compute", .right), ("input", .right), ("wait", .right), ("memory", .right),
            ("slow", .left),
        ])
        for member in status.members { table.add(row(member)) }
        return table.lines
    }

    private static func row(_ member: MemberStatus) -> [String] {
        let memory = member.residentByteCount.map { "\($0 >> 20) MiB" }
        var slow = ""
        if let phase = member.slowPhase {
            slow = "\(phase), \(NumberText.fixed(member.slowFactor ?? 0, 1)) x the fastest"
        }
        return [
            member.name, "\(member.identity)", member.role.rawValue, member.host,
            "\(member.processIdentifier)", "\(member.threadCount)", member.state.rawValue,
            member.virtualWorkers.isEmpty ? none : member.virtualWorkers,
            member.shards.isEmpty ? none : member.shards, "\(member.generation)",
            NumberText.grouped(member.step), "\(member.lastHeardMilliseconds) ms ago",
            time(member.computeMicroseconds), time(member.inputMicroseconds),
            time(member.waitMicroseconds), memory ?? none, slow,
        ]
    }

    private static func time(_ microseconds: Int?) -> String {
        microseconds.map { "\(NumberText.fixed(Double($0) / 1000, 2)) ms" } ?? none
    }
}
