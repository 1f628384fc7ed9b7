import ClusterProtocol
import ClusterRuntime
import Partitions

/// A small cluster for the machines that take messages.
enum Cluster {
    static let tree = ReductionTree(leafCount: 4)
    static let plan = SlicePlan(parameterCount: 96, shardCount: 2, chunkElementCount: 32)
    static let audit = AuditPlan(seed: 1, rate: 0.5)
    static let workers = ["worker-a", "worker-b"].map(PeerIdentity.init(rawValue:))
    static let server = PeerIdentity(rawValue: "server-a")
    static let members = workers + [server]
    static let ready = Ready(dataFingerprint: "data", modelFingerprint: "model")
    static let run = "run-1"

    static let batchPlan: BatchPlan = {
        do {
            return try BatchPlan(
                partitionRecordCounts: [10, 6], batchSize: 4, virtualWorkerCount: 4, seed: 1)
        } catch { preconditionFailure("\(error)") }
    }()

    static let data = DataSummary(
        name: "sample", shape: [1, 2, 2], classCount: 2, testCount: 20, fingerprint: "data",
        partitionRecordCounts: [10, 6])

    static let configuration = CoordinatorMachine.Configuration(
        run: run, tree: tree, plan: plan, serverCount: 1, workerCount: 2, startStep: Step(0),
        totalSteps: Step(8), stepsPerEpoch: 4, evaluationChunkCount: 2,
        heartbeatInterval: .seconds(1), build: "b1", backend: "reference", data: data,
        modelFingerprint: "model", configurationText: "", bulkEndpoint: "tcp://127.0.0.1:1")

    static func hello(_ identity: PeerIdentity) -> Hello {
        Hello(
            identity: identity, role: identity == server ? .server : .worker, host: "host",
            processIdentifier: 7, threadCount: 2, build: "b1", backends: ["reference"],
            instructionSet: "avx2", bulkEndpoint: "tcp://127.0.0.1:40123")
    }

    static let placements = (0..<plan.shardCount).map {
        ShardPlacement(
            shard: ShardIndex($0), host: server, endpoint: "tcp://127.0.0.1:40123")
    }

    static let hostShards = HostShards(
        shards: plan.shards, shardCount: plan.shardCount, placement: Placement(1), step: Step(0),
        stepLimit: Step(4))

    /// One shard here and one elsewhere, whose hosts exchange the norm of the gradient.
    static let hostOfOneShard: HostShards = {
        var host = hostShards
        host.shards = [ShardIndex(0)]
        host.peers = [
            ShardPlacement(
                shard: ShardIndex(0), host: workers[0], endpoint: "tcp://127.0.0.1:40123"),
            ShardPlacement(
                shard: ShardIndex(1), host: workers[1], endpoint: "tcp://127.0.0.1:40124"),
        ]
        return host
    }()

    /// Renders a status as for people and for tools.
    static func show(_ status: ClusterStatus) throws(ReaderFlaw) { try Reader.show(.live(status)) }
}
