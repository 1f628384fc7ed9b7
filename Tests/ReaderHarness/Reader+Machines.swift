import ClusterProtocol
import ClusterRuntime
import RunFiles

/// Readers of complete messages, up to the machines that decide on them: absurd numbers must not
/// trap there either.
extension Reader {
    static let machines: [Reader] = [
        Reader(
            "coordinator", "CoordinatorMachine: messages of members, a line each",
            maximumByteCount: 8192, seeds: Seeds.coordinator
        ) { bytes in
            var machine = CoordinatorMachine(Cluster.configuration)
            var now = Moment.zero
            var heardCount = 0
            for line in Lines(bytes).first(64) {
                // The first byte tells the sender; a line without a message lets time pass.
                now += .milliseconds(400)
                _ = machine.step(.tick, now: now)
                guard let digit = line.first,
                    let message = try? ControlCodec.decode(
                        Array(line.dropFirst()))
                else { continue }
                let peer = Cluster.members[Int(digit) % Cluster.members.count]
                _ = machine.step(.message(message, from: peer), now: now)
                heardCount += 1
            }
            try Cluster.show(machine.status(now: now))
            return heardCount > 0 ? .taken : .refused
        },
        Reader(
            "hello", "CoordinatorMachine: the first message of a process",
            maximumByteCount: 2048, seeds: Seeds.hello
        ) { bytes in
            guard case .hello(let hello) = try ControlCodec.decode(Array(bytes)) else {
                return .refused
            }
            var machine = CoordinatorMachine(Cluster.configuration)
            func say(_ message: ControlMessage, _ peer: PeerIdentity, _ second: Int) {
                _ = machine.step(.message(message, from: peer), now: .seconds(second))
                _ = machine.step(.tick, now: .seconds(second))
            }
            for other in Cluster.members { say(.hello(Cluster.hello(other)), other, 1) }
            say(.hello(hello), hello.identity, 2)
            for member in Cluster.members + [hello.identity] {
                say(.ready(Cluster.ready), member, 2)
            }
            for shard in Cluster.plan.shards {
                let place = ShardReady(shard: shard, placement: Placement(1), step: Step(0))
                say(.shardReady(place), Cluster.server, 3)
            }
            let beat = Heartbeat(generation: Generation(1), step: Step(1), computeMicroseconds: 9)
            for (index, member) in (Cluster.workers + [hello.identity]).enumerated() {
                var beat = beat
                beat.computeMicroseconds <<= index * 4
                say(.heartbeat(beat), member, 5)
            }
            say(.statusRequest(StatusRequest()), hello.identity, 6)
            try Cluster.show(machine.status(now: .seconds(6)))
            return .taken
        },
        Reader(
            "welcome", "RunMaterial: a run, as its coordinator describes it", seeds: Seeds.welcomes
        ) { bytes in
            guard case .welcome(let welcome) = try ControlCodec.decode(Array(bytes)) else {
                return .refused
            }
            let configuration = try RunConfiguration.parse(
                welcome.configuration, fileName: "configuration")
            let material = try RunMaterial(configuration, data: welcome.data, backend: .reference)
            for chunk in [0, -1, material.evaluationChunkCount, .max] {
                _ = material.evaluationRecords(chunk: EvaluationChunkIndex(chunk))
            }
            _ = (material.totalSteps, material.wire, material.shardHost)
            var worker = WorkerMachine(
                material.worker(Cluster.workers[0], salt: 1, threadCount: 2))
            _ = worker.step(.assignment(Seeds.assignment), now: .zero)
            return .taken
        },
        Reader(
            "member", "MemberMachine and ShardHostMachine: a coordinator's messages, a line each",
            maximumByteCount: 8192, seeds: Seeds.member
        ) { bytes in
            var process = MemberMachines()
            for line in Lines(bytes).first(64) {
                process.pass(.milliseconds(400))
                guard let message = try? ControlCodec.decode(Array(line)) else { continue }
                process.hear(message)
            }
            if let flaw = process.flaw { throw flaw }
            return process.heardCount > 0 ? .taken : .refused
        },
        Reader(
            "shard",
            "ShardHostMachine, RelayMachine and WorkerMachine: headers of sums and weights",
            maximumByteCount: 64 * BulkHeader.byteCount, seeds: Seeds.shard
        ) { bytes in
            var heardCount = 0
            // Without clipping, and with clipping and another host of shards.
            for (needsNorm, host) in [(false, Cluster.hostShards), (true, Cluster.hostOfOneShard)] {
                var process = MemberMachines(needsNorm: needsNorm)
                process.hear(.welcome(Seeds.welcome))
                process.hear(.host(host))
                process.hear(.assignment(Seeds.assignment))
                for start in stride(from: 0, to: bytes.count, by: BulkHeader.byteCount) {
                    let end = min(bytes.count, start + BulkHeader.byteCount)
                    process.pass(.milliseconds(100))
                    let slice = UnsafeRawBufferPointer(rebasing: bytes[start..<end])
                    guard let header = try? BulkHeader(bytes: slice) else { continue }
                    process.hear(header, from: Cluster.workers[heardCount % 2])
                    heardCount += 1
                }
                if let flaw = process.flaw { throw flaw }
            }
            return heardCount > 0 ? .taken : .refused
        },
    ]
}

/// Bytes as lines.
struct Lines {
    private let lines: [UnsafeRawBufferPointer.SubSequence]

    init(_ bytes: UnsafeRawBufferPointer) { lines = bytes.split(separator: UInt8(ascii: "\n")) }

    func first(_ count: Int) -> ArraySlice<UnsafeRawBufferPointer.SubSequence> {
        lines.prefix(count)
    }
}
