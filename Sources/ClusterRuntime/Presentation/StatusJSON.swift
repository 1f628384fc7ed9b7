import ClusterProtocol
import RunFiles

/// A cluster's status for tools: one JSON object on one line. The field names are part of the
/// interface.
package enum StatusJSON {
    /// Returns the JSON text of an answer.
    package static func text(_ answer: StatusQuery.Answer) -> String {
        switch answer {
        case .live(let status): text(status)
        case .finished(let run): text(run)
        }
    }

    private static func text(_ run: StatusQuery.FinishedRun) -> String {
        object([
            ("run", JSONText.string(run.run)), ("state", JSONText.string("finished")),
            ("healthy", "\(run.exitCode == ExitCode.done)"), ("exit_code", "\(run.exitCode)"),
            ("reason", JSONText.string(run.reason)), ("step", "\(run.step)"),
            ("test_accuracy", run.testAccuracy.map(JSONText.number) ?? "null"),
            ("images_per_second", run.imagesPerSecond.map(JSONText.number) ?? "null"),
            ("weights_sha256", JSONText.string(run.weightsSHA256)),
            ("settings_changes", array(run.changes.map(JSONText.string))),
        ])
    }

    /// Returns the JSON text of a running cluster's status.
    package static func text(_ status: ClusterStatus) -> String {
        object([
            ("run", JSONText.string(status.run)),
            ("state", JSONText.string(status.state.rawValue)),
            ("healthy", "\(status.isHealthy)"),
            ("problems", array(status.problems.map(JSONText.string))),
            ("step", "\(status.step)"), ("steps", "\(status.stepCount)"),
            ("epoch", "\(status.epoch)"), ("epochs", "\(status.epochCount)"),
            ("images_per_second", JSONText.number(status.imagesPerSecond)),
            ("loss", status.loss.map(JSONText.number) ?? "null"),
            ("rate_factor", JSONText.number(status.rateFactor ?? 1)),
            ("evaluated_chunks", number(status.evaluatedChunks)),
            ("evaluation_chunks", "\(status.evaluationChunkCount)"),
            ("checkpoint", "\(status.lastCheckpoint)"), ("generation", "\(status.generation)"),
            ("isa", status.instructionSet.map(JSONText.string) ?? "null"),
            ("heartbeat_interval_ms", "\(status.heartbeatMilliseconds)"),
            ("uptime_ms", "\(status.uptimeMilliseconds)"),
            ("workers", "\(status.workerCount)"),
            ("workers_wanted", "\(status.wantedWorkerCount)"),
            ("servers", "\(status.serverCount)"),
            ("servers_wanted", "\(status.wantedServerCount)"),
            ("shards", "\(status.shardCount)"), ("shards_missing", "\(status.missingShardCount)"),
            ("failures", failures(status.tally)),
            ("settings_changes", array(status.changes.map(JSONText.string))),
            ("member_count", "\(status.memberCount)"),
            ("members", array(status.members.map(member))),
        ])
    }

    private static func failures(_ tally: RunTally) -> String {
        object([
            ("takeovers", "\(tally.takeovers)"), ("lost_members", "\(tally.lostMembers)"),
            ("shard_losses", "\(tally.shardLosses)"), ("refusals", "\(tally.refusals)"),
            ("rebalances", "\(tally.rebalances)"), ("disputes", "\(tally.disputes)"),
            ("suspects", array(tally.suspects.map(JSONText.string))),
        ])
    }

    private static func member(_ member: MemberStatus) -> String {
        object([
            ("identity", JSONText.string(member.identity.rawValue)),
            ("name", JSONText.string(member.name)),
            ("role", JSONText.string(member.role.rawValue)),
            ("host", JSONText.string(member.host)), ("pid", "\(member.processIdentifier)"),
            ("threads", "\(member.threadCount)"),
            ("state", JSONText.string(member.state.rawValue)),
            ("virtual_workers", JSONText.string(member.virtualWorkers)),
            ("virtual_worker_count", "\(member.virtualWorkerCount)"),
            ("shards", JSONText.string(member.shards)), ("shard_count", "\(member.shardCount)"),
            ("generation", "\(member.generation)"), ("step", "\(member.step)"),
            ("last_heard_ms", "\(member.lastHeardMilliseconds)"),
            ("compute_us", number(member.computeMicroseconds)),
            ("input_us", number(member.inputMicroseconds)),
            ("wait_us", number(member.waitMicroseconds)),
            ("resident_bytes", number(member.residentByteCount)),
            ("slow", member.slowPhase.map(JSONText.string) ?? "null"),
            ("slow_factor", member.slowFactor.map(JSONText.number) ?? "null"),
        ])
    }

    private static func number(_ value: Int?) -> String { value.map { "\($0)" } ?? "null" }

    /// Returns a JSON array of elements that are JSON texts.
    package static func array(_ elements: [String]) -> String {
        "[" + elements.joined(separator: ",") + "]"
    }

    /// Returns a JSON object of keys and values that are JSON texts.
    package static func object(_ fields: [(String, String)]) -> String {
        "{" + fields.map { "\(JSONText.string($0)):\($1)" }.joined(separator: ",") + "}"
    }
}
