/// Asks the coordinator how the run is; whoever reaches its control socket may, member or not.
public struct StatusRequest: Hashable, Codable, Sendable {
    /// Rows of members before this one are left out: a large cluster is asked for in pages.
    public var firstMember: Int

    public init(firstMember: Int = 0) { self.firstMember = firstMember }
}

/// A running cluster, as its coordinator sees it at one moment.
///
/// Bounded: at most `maximumPageSize` members an answer, and no text in it is longer than 128
/// bytes, so that an answer fits a control frame whatever members say of themselves.
public struct ClusterStatus: Hashable, Codable, Sendable {
    public static let maximumPageSize = 512
    public static let maximumChangeCount = 16

    public enum State: String, Codable, Sendable, CaseIterable {
        /// For members, for the slices' state to be in place, or for any worker at all.
        case waiting
        /// A coordinator that took the run over waits for its members to come back.
        case recovering
        case placing, training, evaluating
        /// Someone stops the run: finding the step at which everyone can rest.
        case holding
        /// Waiting for the last checkpoint.
        case finishing
        case finished
    }

    public var run: String
    public var state: State
    /// Steps in the ledger.
    public var step: Int
    public var stepCount: Int
    /// From 1.
    public var epoch: Int
    public var epochCount: Int
    /// Mean over `RecentSteps.span`.
    public var imagesPerSecond: Double
    /// Bit pattern of the mean training loss over the last steps; nil before the first.
    public var lossBits: UInt64?
    /// Chunks of the test records, while they are evaluated.
    public var evaluatedChunks: Int?
    public var evaluationChunkCount: Int
    public var lastCheckpoint: Int
    public var generation: Int
    public var instructionSet: String?
    public var heartbeatMilliseconds: Int
    public var uptimeMilliseconds: Int
    /// How long the disk of the run directory has not answered, when that is long.
    public var stalledDiskMilliseconds: Int?
    public var tally: RunTally
    /// Settings that decide bits and were changed on the way: `step 500: data.partitions 8 -> 4`,
    /// the last `maximumChangeCount`.
    public var changes: [String]
    /// Workers that are ready and not silent, and how many the run was configured for.
    public var workerCount: Int
    public var wantedWorkerCount: Int
    public var serverCount: Int
    public var wantedServerCount: Int
    public var shardCount: Int
    public var missingShardCount: Int
    /// Shards without a host, whose state is not in place yet, or whose host is silent.
    public var missingShards: String
    /// Of all pages.
    public var memberCount: Int
    /// The number of the first in `members`.
    public var firstMember: Int
    public var members: [MemberStatus]

    public var loss: Double? { lossBits.map { Double(bitPattern: $0) } }

    /// What keeps this cluster from being healthy; empty: it runs, with a worker and all shards.
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

    public var isHealthy: Bool { problems.isEmpty }
}

/// One member of a running cluster.
public struct MemberStatus: Hashable, Codable, Sendable {
    public enum State: String, Codable, Sendable {
        /// It loads configuration, model and data.
        case preparing
        case ready
        /// Not heard of for two heartbeats; with the third it counts as lost.
        case silent
    }

    public var identity: PeerIdentity
    public var name: String
    public var role: Role
    public var host: String
    public var processIdentifier: Int
    public var threadCount: Int
    public var state: State
    /// As `IndexRanges` writes them.
    public var virtualWorkers: String
    public var virtualWorkerCount: Int
    public var shards: String
    public var shardCount: Int
    public var generation: Int
    public var step: Int
    public var lastHeardMilliseconds: Int
    /// Means of its last heartbeat with work in it, a virtual worker; nil before the first.
    public var computeMicroseconds: Int?
    public var inputMicroseconds: Int?
    public var waitMicroseconds: Int?
    public var residentByteCount: Int?
    /// The phase in which it is slower than the fastest by `CoordinatorMachine.noise` or more.
    public var slowPhase: String?
    /// Against the fastest worker; nil before the first step.
    public var slowFactor: Double?
}

/// Whole numbers as people write them: `0-3,7`.
public enum IndexRanges {
    /// - Parameters:
    ///   - indices: ascending.
    ///   - limit: ranges written at most; `...` stands for the others.
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
