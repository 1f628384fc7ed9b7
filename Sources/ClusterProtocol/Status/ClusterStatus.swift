/// Asks the coordinator about the run. Every process that reaches the control socket may ask, member or
/// not.
public struct StatusRequest: Hashable, Codable, Sendable {
    /// The number of the first member to list. Lower ones are left out: a large cluster is asked for in
    /// pages.
    public var firstMember: Int

    /// Creates a question.
    public init(firstMember: Int = 0) { self.firstMember = firstMember }
}

/// A running cluster, as its coordinator sees it at one moment.
///
/// The size is bounded: an answer lists at most `maximumPageSize` members, and no text in it is longer
/// than 128 bytes. An answer therefore fits a control frame whatever members say about themselves.
public struct ClusterStatus: Hashable, Codable, Sendable {
    /// The highest number of members in an answer.
    public static let maximumPageSize = 512
    /// The highest number of changed settings in an answer.
    public static let maximumChangeCount = 16

    /// What the run is doing.
    public enum State: String, Codable, Sendable, CaseIterable {
        /// The run waits for members, for a host of shards, or for any worker at all.
        case waiting
        /// A coordinator that took the run over waits for its members to come back.
        case recovering
        /// Shards get their state (`placing`), steps run, or workers evaluate the test records.
        case placing, training, evaluating
        /// The user stops the run: the coordinator finds the step at which all members can rest.
        case holding
        /// The run waits for its last checkpoint.
        case finishing
        /// The run is over.
        case finished
    }

    /// The run's name, which is the path of its run directory.
    public var run: String
    /// What the run is doing.
    public var state: State
    /// The number of steps in the ledger.
    public var step: Int
    /// The number of steps in the whole run.
    public var stepCount: Int
    /// The present epoch, from 1.
    public var epoch: Int
    /// The number of epochs in the whole run.
    public var epochCount: Int
    /// The mean number of records trained a second, over `RecentSteps.span`.
    public var imagesPerSecond: Double
    /// The bit pattern of the mean training loss over the last steps; nil before the first step.
    public var lossBits: UInt64?
    /// What the learning rate is multiplied by since its last reduction; nil before the first one.
    public var rateFactor: Double?
    /// The number of chunks of the test records that are evaluated; nil when no evaluation is under
    /// way.
    public var evaluatedChunks: Int?
    /// The number of chunks that the test records are evaluated in.
    public var evaluationChunkCount: Int
    /// The step of the newest checkpoint.
    public var lastCheckpoint: Int
    /// The number of the present membership.
    public var generation: Int
    /// The instruction set that all workers compute with; nil before it is settled.
    public var instructionSet: String?
    /// The time between two heartbeats, in milliseconds.
    public var heartbeatMilliseconds: Int
    /// The time since the coordinator started, in milliseconds.
    public var uptimeMilliseconds: Int
    /// How long the run directory's disk has not answered, in milliseconds; nil when that is not long.
    public var stalledDiskMilliseconds: Int?
    /// What has gone wrong in the run so far.
    public var tally: RunTally
    /// The last `maximumChangeCount` changes of settings that decide bits, as
    /// `step 500: data.partitions 8 -> 4`.
    public var changes: [String]
    /// The number of workers that are ready and not silent.
    public var workerCount: Int
    /// The number of workers that the run was configured for.
    public var wantedWorkerCount: Int
    /// The number of servers that are ready and not silent.
    public var serverCount: Int
    /// The number of servers that the run was configured for.
    public var wantedServerCount: Int
    /// The number of shards.
    public var shardCount: Int
    /// The number of shards that `missingShards` lists.
    public var missingShardCount: Int
    /// The shards that have no host, that have no state yet, or that a silent or unready member hosts,
    /// as `IndexRanges` writes them.
    public var missingShards: String
    /// The number of members on all pages.
    public var memberCount: Int
    /// The number of the first member in `members`.
    public var firstMember: Int
    /// The members on this page: servers before workers, each role in the order of joining.
    public var members: [MemberStatus]

    /// The mean training loss over the last steps; nil before the first step.
    public var loss: Double? { lossBits.map { Double(bitPattern: $0) } }

    /// What keeps the cluster from being healthy; empty when the run goes on, with a worker and all
    /// shards.
    public var problems: [String] {
        var problems: [String] = []
        switch state {
        case .waiting, .recovering, .placing, .finished:
            problems.append(
                "\(state.rawValue): \(workerCount) of \(wantedWorkerCount) workers, "
                    + "\(serverCount) of \(wantedServerCount) servers")
        case .training, .evaluating, .holding, .finishing: break
        }
        if workerCount == 0 { problems.append("no worker is at work") }
        if missingShardCount > 0 {
            problems.append(
                "\(missingShardCount) of \(shardCount) shards not in place: \(missingShards)")
        }
        if let stalledDiskMilliseconds {
            problems.append(
                "the run directory's disk has not answered for "
                    + "\(stalledDiskMilliseconds / 1000) s")
        }
        return problems
    }

    /// Whether the cluster has no problems.
    public var isHealthy: Bool { problems.isEmpty }
}

/// One member of a running cluster.
public struct MemberStatus: Hashable, Codable, Sendable {
    /// How far the member has come.
    public enum State: String, Codable, Sendable {
        /// The member loads configuration, model and data.
        case preparing
        /// The member can work.
        case ready
        /// The member has not been heard for two heartbeats; with the third it counts as lost.
        case silent
    }

    /// The name of the member's process.
    public var identity: PeerIdentity
    /// The member's name for people.
    public var name: String
    /// The member's role.
    public var role: Role
    /// The name of the member's host.
    public var host: String
    /// The member's process identifier on its host.
    public var processIdentifier: Int
    /// The number of the member's compute threads.
    public var threadCount: Int
    /// How far the member has come.
    public var state: State
    /// The virtual workers that the member computes, as `IndexRanges` writes them.
    public var virtualWorkers: String
    /// The number of virtual workers that the member computes.
    public var virtualWorkerCount: Int
    /// The shards that the member hosts, as `IndexRanges` writes them.
    public var shards: String
    /// The number of shards that the member hosts.
    public var shardCount: Int
    /// The generation that the member's last heartbeat reported; 0 before the first.
    public var generation: Int
    /// The step of a worker's last heartbeat, or the lowest version of a server's shards.
    public var step: Int
    /// The time since the member's last message, in milliseconds.
    public var lastHeardMilliseconds: Int
    /// The mean time that a virtual worker computed, in microseconds, from the last heartbeat that
    /// reports work; nil before the first.
    public var computeMicroseconds: Int?
    /// The mean time that a virtual worker waited for its records, in microseconds, from the same
    /// heartbeat.
    public var inputMicroseconds: Int?
    /// The mean time that the worker waited for the next step's weights, in microseconds, from the same
    /// heartbeat.
    public var waitMicroseconds: Int?
    /// The resident memory of the member's process in bytes; nil when it is not known.
    public var residentByteCount: Int?
    /// The phase in which the worker spends most of its time, `input` or `compute`; nil unless it is
    /// slower than the fastest worker by more than the factor `CoordinatorMachine.noise`.
    public var slowPhase: String?
    /// The worker's time for a virtual worker, relative to the fastest worker's; nil before the first
    /// step.
    public var slowFactor: Double?
}

/// Writes whole numbers as people do: `0-3,7`.
public enum IndexRanges {
    /// Returns numbers as text, consecutive ones as a range.
    ///
    /// - Parameters:
    ///   - indices: The numbers, ascending.
    ///   - limit: The highest number of ranges to write; `...` stands for the others.
    public static func text(_ indices: [Int], limit: Int = 8) -> String {
        var ranges: [ClosedRange<Int>] = []
        for index in indices {
            if let last = ranges.last, last.upperBound < .max, last.upperBound + 1 == index {
                ranges[ranges.count - 1] = last.lowerBound...index
            } else if ranges.count == limit {
                return ranges.map(text).joined(separator: ",") + ",..."
            } else {
                ranges.append(index...index)
            }
        }
        return ranges.map(text).joined(separator: ",")
    }

    private static func text(_ range: ClosedRange<Int>) -> String {
        range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound)-\(range.upperBound)"
    }
}
