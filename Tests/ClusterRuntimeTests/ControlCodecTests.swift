import ClusterProtocol
import ClusterRuntime
import CounterRandom
import FoundationEssentials
import TestSupport
import Testing

@Suite struct ControlCodecTests {
    private static let peer = PeerIdentity(role: .worker, random: 0x2F81_C09B_55AB_3D10)

    /// Reads a body from JSON, so that a new field does not matter here.
    private static func body<Body: Decodable>(_ json: String) throws -> Body {
        try JSONDecoder().decode(Body.self, from: Data(json.utf8))
    }

    /// A message of every kind, with no field at its default.
    static func samples() throws -> [ControlMessage] {
        let failure = Failure(text: "a \"quoted\"\nlined ä😀 \u{0} text", exitCode: 65)
        var hello = Hello(
            identity: peer, role: .worker, host: "höst", processIdentifier: 4_194_304, threadCount: 16,
            build: "0123456789abcdef", backends: ["reference", "onednn"],
            instructionSet: "avx512_core", bulkEndpoint: "tcp://[::1]:40123")
        hello.session = try body(#"{"run": "r-1", "generation": 7, "placement": 2}"#)
        let server = Hello(
            identity: PeerIdentity(rawValue: "s"), role: .server, host: "", processIdentifier: 0,
            threadCount: 0, build: "", backends: [], instructionSet: "", bulkEndpoint: nil)
        let reports = (3..<6).map {
            StepReport(
                step: Step($0),
                totals: ContributionTotals(
                    sampleCount: 64, lossSum: 0.1 * Double($0), correctCount: $0, recordDigest: .max,
                    weightSum: 0.3 * Double($0)))
        }
        let placements = (0..<2).map {
            ShardPlacement(shard: ShardIndex($0), host: peer, endpoint: "tcp://10.0.0.\($0):1")
        }
        let data = DataSummary(
            name: "sample", shape: [3, 32, 32], classCount: 10, testCount: 10_000, fingerprint: "f",
            partitionRecordCounts: [6_250, 6_251])
        return [
            .hello(hello), .hello(server), .ready(Ready(dataFingerprint: "d", modelFingerprint: "m")),
            .ready(Ready(dataFingerprint: nil, modelFingerprint: "m")),
            .heartbeat(
                Heartbeat(
                    generation: Generation(3), step: Step(1 << 40), computeMicroseconds: 1,
                    inputMicroseconds: 2, waitMicroseconds: 3)),
            .shardReady(ShardReady(shard: ShardIndex(2), placement: Placement(4), step: Step(5))),
            .progress(
                Progress(
                    shard: ShardIndex(0), placement: Placement(1), step: Step(6),
                    reports: reports)),
            .holding(Holding(number: 2, step: Step(9))),
            .evaluated(
                Evaluated(
                    step: Step(10),
                    results: [
                        EvaluationResult(
                            chunk: EvaluationChunkIndex(1), recordCount: 256, correctCount: 9,
                            lossSum: .nan),
                        EvaluationResult(
                            chunk: EvaluationChunkIndex(2), recordCount: 1, correctCount: 0,
                            lossSum: -0.0),
                    ])),
            .leaving(Leaving(reason: "stopped")), .failed(failure),
            .welcome(
                Welcome(
                    run: "r-1", configuration: "a: {b: \"c\"}\n", bulkEndpoint: "ipc://x",
                    backend: "onednn", data: data)),
            .refused(failure),
            .host(
                HostShards(
                    shards: [ShardIndex(0), ShardIndex(1)], shardCount: 2, placement: Placement(3),
                    step: Step(500), stepLimit: Step(938), peers: placements,
                    rates: [RateChange(from: Step(469), factor: 0.1 * 0.1)])),
            .assignment(
                Assignment(
                    generation: Generation(4),
                    virtualWorkers: [0, 1, 65_535].map(VirtualWorkerIndex.init),
                    fromStep: Step(3), stepLimit: Step(9), shards: placements,
                    placement: Placement(1), instructionSet: "avx2",
                    relayGroups: [
                        RelayGroup(
                            node: TreeNode(level: 2, index: 5),
                            members: [
                                .init(identity: peer, endpoint: "tcp://10.0.0.7:9"),
                                .init(
                                    identity: peer, endpoint: "tcp://10.0.0.8:9",
                                    publicKey: "key"),
                            ])
                    ])),
            .hold(Hold(number: 1)), .snapshot(Snapshot(step: Step(7))),
            .evaluate(Evaluate(step: Step(8), chunks: [0, 39].map(EvaluationChunkIndex.init))),
            .alive(try body(#"{"stepLimit": 12, "recorded": 11, "received": 12, "workerCount": 3}"#)),
            .introduce(Introduce()),
            .shutdown(Shutdown(reason: "finished", exitCode: 130)),
            .statusRequest(StatusRequest(firstMember: 512)), .status(try StatusSample.status()),
        ]
    }

    /// A message of another version is foreign, except a refusal, which is understood.
    @Test func otherVersions() throws {
        let refusal = #"{"version":9,"kind":"refused","body":{"text":"t","exitCode":65}}"#
        #expect(
            try ControlCodec.decode(Array(refusal.utf8))
                == .refused(Failure(text: "t", exitCode: 65)))
        let leaving = #"{"version":9,"kind":"leaving","body":{"reason":"r"}}"#
        let foreign = #expect(throws: ControlEnvelope.Foreign.self) {
            try ControlCodec.decode(Array(leaving.utf8))
        }
        #expect(foreign?.version == 9)
    }

    @Test func everyKindReadsBack() throws {
        let samples = try Self.samples()
        #expect(Set(samples.map(\.kind)).count == 21)
        for message in samples {
            let bytes = ControlCodec.encode(message)
            #expect(try ControlCodec.decode(bytes) == message, "\(message.kind)")
            // Version and kind come first.
            let head = "{\"version\":\(ControlMessage.version),\"kind\":\"\(message.kind)\",\"body\":{"
            #expect(String(decoding: bytes, as: UTF8.self).hasPrefix(head))
        }
    }

    /// Heartbeats and progress have a coder of their own, which agrees with the general one both
    /// ways.
    @Test func frequentMessagesAreJSON() throws {
        for seed in TestSeed.seeds(2_000) {
            var random = RandomStream(seed: seed, purpose: .simulation, 9)
            func number() -> Int { Int(random.next32()) >> random.next(below: 33) }
            func wide() -> UInt64 { UInt64(random.next32()) << 32 | UInt64(random.next32()) }
            let reports = (0..<random.next(below: 4)).map { _ in
                StepReport(
                    step: Step(number()),
                    totals: ContributionTotals(
                        sampleCount: number(), lossSum: Double(bitPattern: wide()),
                        correctCount: number(), recordDigest: wide()))
            }
            let messages: [ControlMessage] = [
                .heartbeat(
                    Heartbeat(
                        generation: Generation(number()), step: Step(number()),
                        isReady: number().isMultiple(of: 2), computeMicroseconds: number(),
                        inputMicroseconds: number(), waitMicroseconds: number(),
                        residentByteCount: number().isMultiple(of: 2) ? number() : nil)),
                .progress(
                    Progress(
                        shard: ShardIndex(random.next(below: 1 << 16)),
                        placement: Placement(number()),
                        step: Step(number()), reports: reports)),
            ]
            for message in messages {
                let bytes = ControlCodec.encode(message)
                #expect(try ControlCodec.decode(bytes) == message)
                let general = try JSONDecoder().decode(ControlEnvelope.self, from: Data(bytes))
                #expect(general.message == message)
                // Other spacing gives an equal message.
                let spaced = String(decoding: bytes, as: UTF8.self)
                    .split(separator: ",").joined(separator: " , ")
                #expect(try decode(spaced) == message)
            }
        }
    }

    /// Damaged heartbeats. Their keys come in the order of the alphabet, so `step` is not the last:
    /// Foundation's decoder takes a comma after the last member of an object.
    @Test(
        arguments: [
            (#""step":5"#, #""step":05"#), (#""step":5"#, #""step":281474976710656"#),
            (#""step":5"#, #""step":99999999999999999999"#), (#""step":5"#, #""step":"#),
            (#""step":5"#, #""step":5,"#), ("}}", "}"), ("}}", "}}}"), ("}}", "}} x"),
            (#""isReady":true"#, #""isReady":1"#), (#""waitMicroseconds":3"#, #""wait":3"#),
        ])
    func damagedHeartbeatsAreRefused(part: String, replacement: String) throws {
        let beat = Heartbeat(
            generation: Generation(4), step: Step(5), isReady: true, computeMicroseconds: 1,
            inputMicroseconds: 2, waitMicroseconds: 3)
        let text = String(decoding: ControlCodec.encode(.heartbeat(beat)), as: UTF8.self)
        let range = try #require(text.firstRange(of: part))
        #expect(throws: (any Error).self) {
            try decode(text.replacingCharacters(in: range, with: replacement))
        }
    }

    private func decode(_ json: String) throws -> ControlMessage {
        try ControlCodec.decode(Array(json.utf8))
    }

    @Test func otherVersionsAndKindsAreRefusedByName() {
        let foreign = ControlEnvelope.Foreign(version: 2, kind: "hold")
        #expect(throws: foreign) { try decode(#"{"version":2,"kind":"hold","body":{"number":1}}"#) }
        #expect(throws: ControlEnvelope.Foreign(version: 1, kind: "dance")) {
            try decode(#"{"version":1,"kind":"dance","body":{}}"#)
        }
        #expect(throws: ControlEnvelope.Foreign(version: 9, kind: "dance")) {
            try decode(#"{"version":9,"kind":"dance"}"#)
        }
        #expect(throws: ControlEnvelope.Foreign.self) {
            try ControlCodec.decode([UInt8](repeating: 0x20, count: ControlCodec.maximumByteCount + 1))
        }
    }

    @Test(
        arguments: [
            "", " ", "{}", "[]", "null", "1", "\"a\"", "{", "}", "{\"version\":1}", "\u{0}",
            #"{"version":1,"kind":"hold"}"#, #"{"version":1,"kind":"hold","body":[]}"#,
            #"{"version":1,"kind":"hold","body":null}"#, #"{"version":1,"kind":"hold","body":{}}"#,
            #"{"version":"1","kind":"hold","body":{"number":1}}"#,
            #"{"version":1,"kind":1,"body":{"number":1}}"#,
            #"{"version":1,"kind":"hold","body":{"number":"1"}}"#,
            #"{"version":1,"kind":"hold","body":{"number":1.5}}"#,
            #"{"version":1,"kind":"hold","body":{"number":1e400}}"#,
            #"{"version":1,"kind":"hold","body":{"number":9223372036854775808}}"#,
            #"{"version":1,"kind":"hold","body":{"number":-99999999999999999999999}}"#,
            #"{"version":1e999999999,"kind":"hold","body":{"number":1}}"#,
            #"{"version":1,"kind":"hold","body":{"number":1}} trailing"#,
            #"{"version":1,"kind":"hello","body":{"identity":""}}"#,
        ])
    func whatIsNoMessageIsRefused(json: String) {
        #expect(throws: (any Error).self) { try decode(json) }
    }

    /// Numbers on which later sums would overflow are refused as steps, generations, shards and the
    /// like.
    @Test(
        arguments: [
            #"{"kind":"snapshot","version":1,"body":{"step":9223372036854775807}}"#,
            #"{"kind":"snapshot","version":1,"body":{"step":-1}}"#,
            #"{"kind":"snapshot","version":1,"body":{"step":281474976710656}}"#,
            #"{"kind":"shard-ready","version":1,"body":{"shard":65536,"placement":1,"step":1}}"#,
            #"{"kind":"shard-ready","version":1,"body":{"shard":-1,"placement":1,"step":1}}"#,
            #"{"kind":"shard-ready","version":1,"body":{"shard":1,"placement":-1,"step":1}}"#,
            #"{"kind":"shard-ready","version":1,"body":{"shard":1,"placement":281474976710656,"step":1}}"#,
            #"{"kind":"recompute","version":1,"body":{"step":1,"virtualWorker":-1}}"#,
            #"{"kind":"recompute","version":1,"body":{"step":1,"virtualWorker":65536}}"#,
            #"{"kind":"evaluate","version":1,"body":{"step":1,"chunks":[-1]}}"#,
            #"{"kind":"heartbeat","version":1,"body":{"generation":9223372036854775807,"step":1,"isReady":true,"computeMicroseconds":1,"inputMicroseconds":1,"waitMicroseconds":1}}"#,
        ])
    func numbersOutOfReachAreRefused(json: String) {
        #expect(throws: (any Error).self) { try decode(json) }
    }

    @Test func identitiesAreBounded() throws {
        var message = try #require(Self.samples().first)
        guard case .hello(var hello) = message else { return }
        hello.identity = PeerIdentity(rawValue: String(repeating: "x", count: 65))
        message = .hello(hello)
        #expect(throws: (any Error).self) { try ControlCodec.decode(ControlCodec.encode(message)) }
    }

    /// The nesting is deeper than any stack, and must not crash the process.
    @Test(arguments: ["[", "{\"a\":", "[{\"a\":", "\"\\"])
    func deepNestingIsRefused(opening: String) {
        for count in [10, 600, 10_000, 100_000] {
            let deep = String(repeating: opening, count: count)
            #expect(throws: (any Error).self) { try decode(deep) }
            let inside = "{\"version\":1,\"kind\":\"hold\",\"body\":{\"number\":\(deep)}}"
            #expect(throws: (any Error).self) { try decode(inside) }
            let ignored = "{\"version\":1,\"kind\":\"hold\",\"x\":\(deep),\"body\":{\"number\":1}}"
            #expect(throws: (any Error).self) { try decode(ignored) }
        }
        let closed = String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000)
        let ignored = "{\"version\":1,\"kind\":\"hold\",\"x\":\(closed),\"body\":{\"number\":1}}"
        #expect(throws: (any Error).self) { try decode(ignored) }
    }

    @Test func textThatIsNoUTF8IsRefused() throws {
        let good = ControlCodec.encode(.leaving(Leaving(reason: "MARK")))
        let position = try #require(
            good.indices.first { Array(good[$0...].prefix(4)) == Array("MARK".utf8) })
        for bad: [UInt8] in [
            [0xFF], [0xC0, 0xAF], [0xED, 0xA0, 0x80], [0xF8, 0x88, 0x80, 0x80], [0x80], [0xE2, 0x82],
        ] {
            var bytes = good
            bytes.replaceSubrange(position..<(position + 4), with: bad)
            #expect(throws: (any Error).self, "\(bad)") { try ControlCodec.decode(bytes) }
        }
        // A lone surrogate, escaped.
        #expect(throws: (any Error).self) {
            try decode(#"{"version":1,"kind":"leaving","body":{"reason":"\ud800"}}"#)
        }
    }

    /// Frames with bytes changed, cut out, inserted and exchanged are refused, or give a message
    /// that can be encoded again.
    @Test func mutatedFramesNeverTrap() throws {
        let frames = try Self.samples().map(ControlCodec.encode)
        let pieces = ["{", "}", "[", "]", "\"", "\\", "null", "-", "1e99", "9223372036854775807", ","]
        var accepted = 0
        for seed in TestSeed.seeds(20_000) {
            var random = RandomStream(seed: seed, purpose: .simulation, 8)
            var bytes = frames[random.next(below: frames.count)]
            for _ in 0..<(1 + random.next(below: 4)) {
                let place = random.next(below: bytes.count)
                switch random.next(below: 5) {
                case 0: bytes[place] = UInt8(truncatingIfNeeded: random.next32())
                case 1: bytes[place] ^= 1 << UInt8(random.next(below: 8))
                case 2: bytes.removeSubrange(place..<min(bytes.count, place + 1 + random.next(below: 9)))
                case 3:
                    let piece = pieces[random.next(below: pieces.count)]
                    bytes.insert(contentsOf: Array(piece.utf8), at: place)
                default:
                    let other = frames[random.next(below: frames.count)]
                    bytes = Array(bytes[..<place]) + other[min(place, other.count)...]
                }
                if bytes.isEmpty { bytes = [0] }
            }
            guard let message = try? ControlCodec.decode(bytes) else { continue }
            accepted += 1
            let again = try? ControlCodec.decode(ControlCodec.encode(message))
            #expect(again == message, "seed \(seed)")
        }
        // Some mutations only touch a text or a number.
        #expect(accepted > 100)
    }
}
