import ClusterProtocol
import ClusterRuntime
import RunFiles

extension Seeds {
    // MARK: Frames

    static let bulk: [[UInt8]] = BulkKind.allCases.map { kind in
        var header = BulkHeader(kind: kind, step: Step(3), shard: ShardIndex(1))
        header.chunk = ChunkIndex(2)
        header.node = TreeNode(level: 1, index: 1)
        header.totals = ContributionTotals(
            sampleCount: 2, lossSum: 1.5, correctCount: 1, recordDigest: 0x1234)
        header.placement = Placement(1)
        let payload: [UInt8]
        switch kind {
        case .contribution, .weights, .combine, .state:
            header.payloadType = .float32
            payload = [0, 0, 128, 63, 0, 0, 0, 64]
        case .missing:
            header.payloadType = .indices
            payload = [1, 0, 0, 0, 3, 0, 0, 0]
        case .follow:
            header.payloadType = .sharedBFloat16
            payload = place.bytes
        case .fetch, .fetchChunk:
            header.payloadType = .neighbour
            payload = Neighbour(hostKey: 7, pipe: place.memory).bytes
        case .squares:
            header.payloadType = .float64
            payload = [0, 0, 0, 0, 0, 0, 240, 63]
        case .unsubscribe, .inquiry, .fetchSquares: payload = []
        }
        header.payloadByteCount = payload.count
        return header.bytes + payload
    }

    private static let place = SharedPayload(
        memory: .init(processIdentifier: 77, descriptor: 5, token: 1 << 40), slot: 2,
        byteOffset: 4096, content: 9)

    static let data: [[UInt8]] = [
        DataHeader(.ask, DataObject(.training, 2), offset: 512, askedByteCount: 256 << 10).bytes,
        DataHeader(.piece, DataObject(.catalog), totalByteCount: 5, payloadByteCount: 5).bytes
            + [1, 2, 3, 4, 5],
        DataHeader(.piece, DataObject(.test, 1), totalByteCount: 900_000, payloadByteCount: 3).bytes
            + [1, 2, 3],
        DataHeader(.unavailable, DataObject(.test), payloadByteCount: 2).bytes + [0x6E, 0x6F],
    ]

    static let pipe: [[UInt8]] = [BulkKind.contribution, .weights].map { kind in
        var header = BulkHeader(kind: kind, step: Step(3), shard: ShardIndex(1))
        header.payloadType = .sharedFloat32
        header.payloadByteCount = SharedPayload.byteCount
        return PipeRecord.bytes(header, place, from: Cluster.workers[0])
    }

    static let endpoint = [
        "tcp://127.0.0.1:5555", "tcp://[::1]:*", "ipc:///tmp/convoy.sock", "tcp://*:0",
        "tcp://node-1.example:65535", "tcp://[::ffff:10.0.0.1]:1", "tcp://[fe80::1%eth0]:9",
    ].map { Array($0.utf8) }.filter { Endpoint(String(decoding: $0, as: UTF8.self)) != nil }

    // MARK: Control

    static let welcome = Welcome(
        run: Cluster.run, configuration: "", bulkEndpoint: "tcp://127.0.0.1:1",
        backend: "reference",
        data: Cluster.data, dataEndpoint: "tcp://127.0.0.1:2")

    static let welcomes: [[UInt8]] = {
        var configuration = RunConfiguration()
        configuration.training.auditRate = 0.5
        let small =
            "model: {input: [1, 2, 2], layers: [flatten, {dense: {units: 2}}]}\n"
            + "training: {batch-size: 4, virtual-workers: 2}\n"
        var images = Cluster.data
        images.shape = [1, 28, 28]
        images.classCount = 10
        return [(configuration.yaml, images), (small, Cluster.data)].map { text, data in
            var welcome = welcome
            welcome.configuration = text
            welcome.data = data
            return ControlCodec.encode(.welcome(welcome))
        }
    }()

    static let assignment = Assignment(
        generation: Generation(1), virtualWorkers: [0, 1].map(VirtualWorkerIndex.init),
        interimVirtualWorkers: [VirtualWorkerIndex(0)], fromStep: Step(2),
        auditedVirtualWorkers: [2, 3].map(VirtualWorkerIndex.init), stepLimit: Step(4),
        shards: Cluster.placements, placement: Placement(1), instructionSet: "avx2",
        relayGroups: [
            RelayGroup(
                node: TreeNode(level: 1, index: 0),
                members: [.init(identity: Cluster.workers[0], endpoint: "tcp://10.0.0.7:9")])
        ])

    private static func progress(_ shard: Int, _ step: Int, reports: Range<Int> = 0..<0)
        -> ControlMessage
    {
        .progress(
            Progress(
                shard: ShardIndex(shard), placement: Placement(1), step: Step(step),
                reports: reports.map {
                    StepReport(
                        step: Step($0),
                        totals: ContributionTotals(
                            sampleCount: 4, lossSum: 2, correctCount: 1, recordDigest: 5))
                }))
    }

    private static func evaluated(_ step: Int) -> ControlMessage {
        .evaluated(
            Evaluated(
                step: Step(step),
                results: (0..<2).map {
                    EvaluationResult(
                        chunk: EvaluationChunkIndex($0), recordCount: 10, correctCount: 4,
                        lossSum: 9)
                }))
    }

    private static let finding = AuditFinding(
        step: Step(1), virtualWorker: VirtualWorkerIndex(2), peers: Cluster.workers)

    private static let beat = Heartbeat(
        generation: Generation(1), step: Step(2), isReady: true, computeMicroseconds: 900,
        inputMicroseconds: 20, waitMicroseconds: 300, residentByteCount: 1 << 28)

    /// A message of each kind that members send.
    private static let ofMembers: [ControlMessage] = [
        .hello(Cluster.hello(Cluster.workers[0])), .ready(Cluster.ready), .heartbeat(beat),
        .shardReady(ShardReady(shard: ShardIndex(0), placement: Placement(1), step: Step(0))),
        progress(0, 2, reports: 0..<2), .holding(Holding(number: 1, step: Step(2))), evaluated(4),
        .leaving(Leaving(reason: "stopped")),
        .failed(Failure(text: "no \"memory\"\n", exitCode: 70)),
        .disputed(finding), .contradicted(finding), .statusRequest(StatusRequest(firstMember: 0)),
    ]

    /// A message of each kind that a coordinator sends.
    private static let ofCoordinator: [ControlMessage] = [
        .welcome(welcome), .refused(Failure(text: "full", exitCode: 65)), .host(Cluster.hostShards),
        .assignment(assignment), .hold(Hold(number: 1)), .snapshot(Snapshot(step: Step(4))),
        .evaluate(Evaluate(step: Step(4), chunks: [0, 1].map(EvaluationChunkIndex.init))),
        .recompute(Recompute(step: Step(1), virtualWorker: VirtualWorkerIndex(2))),
        .alive(
            Alive(
                stepLimit: Step(8), recorded: Step(2), workerCount: 2,
                rates: [RateChange(from: Step(4), factor: 0.1)])),
        .introduce(Introduce()), .shutdown(Shutdown(reason: "finished", exitCode: 0)),
    ]

    static let control: [[UInt8]] = (ofMembers + ofCoordinator).map(ControlCodec.encode) + status

    static let hello: [[UInt8]] = {
        var other = Cluster.hello(PeerIdentity(rawValue: "worker-c"))
        other.label = "worker 3"
        other.session = .init(run: Cluster.run, generation: Generation(1), placement: Placement(1))
        var server = Cluster.hello(PeerIdentity(rawValue: "server-b"))
        server.role = .server
        return [other, server].map { ControlCodec.encode(.hello($0)) }
    }()

    static let status: [[UInt8]] = {
        var machine = CoordinatorMachine(Cluster.configuration)
        let empty = machine.status(now: .seconds(1))
        for peer in Cluster.members {
            _ = machine.step(.message(.hello(Cluster.hello(peer)), from: peer), now: .seconds(1))
            _ = machine.step(.message(.ready(Cluster.ready), from: peer), now: .seconds(1))
            _ = machine.step(.message(.heartbeat(beat), from: peer), now: .seconds(1))
        }
        return [empty, machine.status(now: .seconds(2))].map { ControlCodec.encode(.status($0)) }
    }()

    // MARK: Conversations

    private static func lines(_ messages: [(speaker: String, message: ControlMessage)]) -> [UInt8] {
        messages.flatMap { speaker, message in
            Array(speaker.utf8) + ControlCodec.encode(message) + [UInt8(ascii: "\n")]
        }
    }

    static let coordinator: [[UInt8]] = {
        // "0" is byte 48, a multiple of three: "0" and "1" are the workers, and "2" is the server.
        let joining: [(String, ControlMessage)] = Cluster.members.enumerated().flatMap {
            [("\($0)", .hello(Cluster.hello($1))), ("\($0)", .ready(Cluster.ready))]
        }
        let placed: [(String, ControlMessage)] = (0..<2).map {
            let ready = ShardReady(
                shard: ShardIndex($0), placement: Placement(1), step: Step(0))
            return ("2", .shardReady(ready))
        }
        let trained: [(String, ControlMessage)] = [
            ("0", .heartbeat(beat)), ("1", .heartbeat(beat)), ("2", progress(0, 2, reports: 0..<2)),
            ("2", progress(0, 4, reports: 2..<4)), ("2", progress(1, 4)), ("0", evaluated(4)),
            ("1", .statusRequest(StatusRequest())),
        ]
        let ended: [(String, ControlMessage)] = [
            ("2", progress(0, 8, reports: 4..<8)), ("2", progress(1, 8)), ("1", evaluated(8)),
        ]
        let disturbed: [(String, ControlMessage)] = [
            ("0", .disputed(finding)), ("1", .contradicted(finding)),
            ("0", .leaving(Leaving(reason: "stopped"))),
            ("2", .failed(Failure(text: "disk", exitCode: 65))),
        ]
        return [
            lines(joining), lines(joining + placed + trained + ended),
            lines(joining + placed + trained + disturbed),
        ]
    }()

    static let member: [[UInt8]] = {
        func said(_ messages: [ControlMessage]) -> [UInt8] { lines(messages.map { ("", $0) }) }
        let begun: [ControlMessage] = [
            .welcome(welcome), .host(Cluster.hostShards), .assignment(assignment),
        ]
        return [
            said(begun + ofCoordinator.dropFirst(4).dropLast()),
            said(begun + [.introduce(Introduce()), .welcome(welcome)]), said([ofCoordinator[1]]),
            said(begun + [.shutdown(Shutdown(reason: "finished", exitCode: 0))]),
        ]
    }()

    /// State, weights and sums of the first steps.
    static let shard: [[UInt8]] = {
        let first = ChunkIndex(0)
        func leaf(_ index: Int) -> TreeNode { TreeNode(level: 0, index: index) }
        func header(
            _ kind: BulkKind, _ step: Int, _ chunk: ChunkIndex,
            _ node: TreeNode = TreeNode(level: 0, index: 0)
        ) -> [UInt8] {
            var header = BulkHeader(
                kind: kind, step: Step(step), shard: Cluster.plan[chunk].shard)
            header.chunk = chunk
            header.node = node
            header.placement = Placement(1)
            header.totals = ContributionTotals(
                sampleCount: Cluster.tree.virtualWorkers(below: node).count, lossSum: 1)
            return header.bytes
        }
        let chunks = Cluster.plan.chunkIndices
        let states = chunks.flatMap { header(.state, 0, $0) }
        let weights = chunks.flatMap { header(.weights, 0, $0) }
        let leaves = chunks.flatMap { chunk in
            (0..<4).flatMap { header(.contribution, 0, chunk, leaf($0)) }
        }
        let sums = chunks.flatMap { header(.contribution, 1, $0, Cluster.tree.root) }
        let asked =
            header(.fetch, 0, first) + header(.inquiry, 0, first) + header(.follow, 0, first.next)
            + header(.combine, 0, first, leaf(1)) + header(.missing, 0, first)
            + header(.unsubscribe, 0, first)
        let squares = chunks.flatMap { header(.squares, 0, $0) + header(.fetchSquares, 0, $0) }
        return [
            states + weights + leaves + sums, weights + asked, states + asked + weights,
            states + leaves + squares + sums,
        ]
    }()
}
