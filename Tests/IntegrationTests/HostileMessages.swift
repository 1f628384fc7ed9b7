import ClusterProtocol
import ClusterRuntime
import CounterRandom
import FoundationEssentials
import Glibc
import NeuralNetwork

/// Bytes that no member of a cluster sends.
struct HostileMessages {
    let plan: SlicePlan
    let partCount: Int
    let seed: UInt64

    func random(_ count: Int, _ stream: UInt64) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: mix64(seed << 32 ^ stream << 20 ^ UInt64($0))) }
    }

    // MARK: For plain TCP connections

    private var greeting: [UInt8] {
        [0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0x7F, 3, 0] + Array("NULL".utf8)
            + [UInt8](repeating: 0, count: 16 + 1 + 31)
    }

    /// A ZMTP 3 READY command of a DEALER.
    private var ready: [UInt8] {
        let body =
            [5] + Array("READY".utf8) + [11] + Array("Socket-Type".utf8) + [0, 0, 0, 6]
            + Array("DEALER".utf8)
        return [4, UInt8(body.count)] + body
    }

    var streams: [[UInt8]] {
        [
            [], [0], [0xFF], random(1, 1), random(5000, 2), Array("GET / HTTP/1.1\r\n\r\n".utf8),
            Array(greeting.prefix(30)), greeting, greeting + random(3000, 3),
            greeting + ready, greeting + ready + random(3000, 4),
            // One long frame that is never complete, and one of an absurd length.
            greeting + ready + [2, 0, 0, 0, 0, 0, 0, 0x40, 0] + random(100, 5),
            greeting + ready + [2] + [UInt8](repeating: 0x7F, count: 8) + random(100, 6),
            // ZMTP 1.0, without a handshake: an anonymous identity, then messages.
            [1, 0, 5, 0] + random(4, 7),
            [1, 0, 1, 1, 65, 0]
                + BulkHeader(kind: .fetch, step: Step(1), shard: ShardIndex(0))
                .bytes,
            [1, 0, 1, 0, 3, 1] + random(2, 8) + [4, 0] + random(3, 9),
        ]
    }

    // MARK: For real sockets

    /// Groups of messages, each a list of frames. Each group has its own connection, because a peer
    /// that sends too much at once is disconnected.
    var groups: [[[[UInt8]]]] {
        let long = [[random(3 << 20, 16)]]
        return [noise, control, bulk, data, foreignNodes, states, long]
    }

    private var noise: [[[UInt8]]] {
        [
            [[]], [[], []], [random(1, 10)], [random(64, 11)], [random(64, 12), random(400, 13)],
            [random(100_000, 14)], Array(repeating: random(9, 15), count: 40),
            [Array(repeating: UInt8(ascii: "["), count: 100_000)],
            [Array(repeating: UInt8(ascii: "{"), count: 100_000)],
        ]
    }

    private var control: [[[UInt8]]] {
        let stranger = PeerIdentity(role: .worker, random: 0xBAD)
        let hello = Hello(
            identity: stranger, role: .worker, host: "nowhere", processIdentifier: -1,
            threadCount: .max, build: "0000000000000000", backends: [], instructionSet: "",
            bulkEndpoint: "tcp://127.0.0.1:1")
        let report = StepReport(
            step: Step(.max), totals: ContributionTotals(sampleCount: .max, lossSum: .nan))
        let bodies: [ControlMessage] = [
            .hello(hello), .ready(Ready(dataFingerprint: nil, modelFingerprint: "")),
            .heartbeat(Heartbeat(generation: Generation(.max), step: Step(.min))),
            .shardReady(ShardReady(shard: ShardIndex(0), placement: Placement(1), step: Step(0))),
            .progress(
                Progress(
                    shard: ShardIndex(0), placement: Placement(1), step: Step(.max),
                    reports: [report])),
            .holding(Holding(number: 1, step: Step(0))),
            .evaluated(
                Evaluated(
                    step: Step(56),
                    results: [
                        EvaluationResult(
                            chunk: EvaluationChunkIndex(0), recordCount: 203, correctCount: 0,
                            lossSum: .nan)
                    ])),
            .leaving(Leaving(reason: "tired")),
            .failed(Failure(text: "nothing works", exitCode: 70)),
            .shutdown(Shutdown(reason: "stop", exitCode: 0)),
        ]
        var messages = bodies.map { [Self.json($0)] }
        for text in [
            "{}", "null", "[1,2", #"{"version":2,"kind":"hello","body":{}}"#,
            #"{"version":1,"kind":"dance","body":{}}"#, #"{"version":1,"kind":"hello","body":{}}"#,
            #"{"version":1e999,"kind":7}"#,
        ] { messages.append([Array(text.utf8)]) }
        return messages
    }

    private static func json(_ message: ControlMessage) -> [UInt8] {
        func body(_ body: some Encodable) -> [UInt8] {
            (try? JSONEncoder().encode(body)).map { Array($0) } ?? Array("{}".utf8)
        }
        let head = "{\"version\":\(ControlMessage.version),\"kind\":\"\(message.kind)\",\"body\":"
        return Array(head.utf8) + body(message.body) + [UInt8(ascii: "}")]
    }

    /// Questions about missing objects, and messages that only a coordinator sends.
    private var data: [[[UInt8]]] {
        func ask(_ kind: DataObject.Kind, _ index: Int, _ offset: Int, _ count: Int) -> [[UInt8]] {
            let object = DataObject(kind, index)
            return [DataHeader(.ask, object, offset: offset, askedByteCount: count).bytes]
        }
        let far = (1 << 48) - 1
        var cut = ask(.training, 0, 0, 1)
        cut[0].removeLast()
        return [
            ask(.catalog, 0, 0, 1), ask(.catalog, 1 << 31, far, 256 << 10), ask(.test, 0, far, 1),
            ask(.training, 1 << 31, 0, 1), ask(.test, 99, far, 256 << 10), ask(.training, 0, 0, 0),
            ask(.training, 0, 3, 256 << 10) + [random(9, 20)], cut,
            [DataHeader(.piece, DataObject(.training), payloadByteCount: 5).bytes, random(5, 21)],
            [DataHeader(.unavailable, DataObject(.catalog)).bytes],
        ] + (0..<100).map { ask(.training, 0, $0, 256 << 10) }
    }

    private var bulk: [[[UInt8]]] {
        var messages: [[[UInt8]]] = []
        let whole = [UInt8](repeating: 0, count: plan.chunks[0].range.count * 4)
        for kind in BulkKind.allCases {
            var header = BulkHeader(kind: kind, step: Step(1 << 47), shard: ShardIndex(65_535))
            header.chunk = ChunkIndex(Int(UInt32.max))
            header.part = 255
            header.node = TreeNode(level: 31, index: Int(UInt32.max))
            header.totals = ContributionTotals(
                sampleCount: Int(UInt32.max), lossSum: .nan, correctCount: Int(UInt32.max),
                recordDigest: .max)
            header.placement = Placement(Int(UInt32.max))
            messages.append([header.bytes])
            header.payloadType = .float32
            header.payloadByteCount = .max
            messages.append([header.bytes, whole])
            header.payloadByteCount = whole.count
            messages.append([header.bytes, whole])
            messages.append([header.bytes, Array(whole.dropLast())])
            messages.append([header.bytes, whole, whole])
            // An existing chunk, of a step that is far away, then with a node outside the tree.
            header.shard = plan.chunks[0].shard
            header.chunk = ChunkIndex(0)
            header.part = 0
            messages.append([header.bytes, whole])
            header.step = Step(0)
            messages.append([header.bytes, whole])
            // Payloads of the wrong type, and shared memory of other processes and of this one.
            header.payloadType = .bfloat16
            header.payloadByteCount = whole.count / 2
            messages.append([header.bytes, Array(whole.prefix(whole.count / 2))])
            messages.append([header.bytes, whole])
            header.payloadType = .sharedFloat32
            header.payloadByteCount = SharedPayload.byteCount
            for process in [1, Int(getpid()), Int(Int32.max)] {
                let memory = SharedPayload.Memory(
                    processIdentifier: process, descriptor: 0, token: .max)
                let place = SharedPayload(
                    memory: memory, slot: .max, byteOffset: .max, content: .max)
                messages.append([header.bytes, place.bytes])
            }
            messages.append([header.bytes, whole])
            header.payloadType = .float32
            header.payloadByteCount = whole.count
            var foreign = header.bytes
            foreign[0] ^= 0xFF
            messages.append([foreign, whole])
            foreign = header.bytes
            foreign[4] = 9
            messages.append([foreign, whole])
            foreign = header.bytes
            foreign[6] = 0
            messages.append([foreign, whole])
            messages.append([Array(header.bytes.dropLast()), whole])
        }
        return messages
    }

    /// Nodes outside the tree, at every step that the run may be in.
    private var foreignNodes: [[[UInt8]]] {
        let byteCount = plan.chunks[0].range.count * 4
        return stride(from: 0, to: 4000, by: 7).map { step in
            var header = BulkHeader(kind: .contribution, step: Step(step), shard: ShardIndex(0))
            header.node = TreeNode(level: step % 32, index: 1 << 20)
            header.payloadType = .float32
            header.payloadByteCount = byteCount
            return [header.bytes, [UInt8](repeating: 0, count: byteCount)]
        }
    }

    /// A complete state, of a step that the run never reaches.
    private var states: [[[UInt8]]] {
        plan.chunks.flatMap { chunk in
            (0..<partCount).map { part in
                var header = BulkHeader(kind: .state, step: Step(1 << 40), shard: chunk.shard)
                header.chunk = chunk.index
                header.part = part
                header.payloadType = .float32
                header.payloadByteCount = chunk.range.count * 4
                return [
                    header.bytes, [UInt8](repeating: 0, count: header.payloadByteCount),
                ]
            }
        }
    }
}
