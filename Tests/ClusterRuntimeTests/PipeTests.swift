import Buffers
import ClusterProtocol
import ClusterRuntime
import CounterRandom
import Glibc
import TestSupport
import Testing

/// Messages between processes that share memory; this process plays both sides.
@Suite struct PipeTests {
    private static let sender = PeerIdentity(role: .worker, random: 7)

    init() { signal(SIGPIPE, SIG_IGN) }

    private static func header(_ number: Int) -> BulkHeader {
        var header = BulkHeader(kind: .contribution, step: Step(number), shard: ShardIndex(3))
        header.chunk = ChunkIndex(number)
        header.totals = ContributionTotals(
            sampleCount: 32, lossSum: 1.5, correctCount: 8, recordDigest: .max, weightSum: 40.5)
        return header
    }

    private static func shared(_ header: BulkHeader) -> BulkHeader {
        var header = header
        header.payloadType = WirePrecision.fp32.sharedPayloadType
        header.payloadByteCount = SharedPayload.byteCount
        return header
    }

    private static func place(_ number: Int) -> SharedPayload {
        SharedPayload(
            memory: .init(processIdentifier: 4, descriptor: 5, token: 6), slot: number,
            byteOffset: 4096, content: 9)
    }

    private func send(
        _ number: Int, to inbox: SharedPayload.Memory, _ outlets: inout PipeOutlets,
        from sender: PeerIdentity = sender
    ) -> Bool {
        outlets.send(
            Self.header(number), Self.place(number), .fp32, from: sender, to: inbox)
    }

    /// The pipe's descriptor, as the inbox's page names it.
    private func pipe(of memory: SharedPayload.Memory) throws -> Int32 {
        var fields = [UInt64](repeating: 0, count: 4)
        try #require(pread(Int32(memory.descriptor), &fields, 32, 0) == 32)
        return Int32(fields[2])
    }

    private func writeRubbish(_ byteCount: Int, into memory: SharedPayload.Memory) throws {
        let end = open("/proc/self/fd/\(try pipe(of: memory))", O_WRONLY | O_NONBLOCK)
        try #require(end >= 0)
        defer { close(end) }
        let rubbish = [UInt8](repeating: 0xA5, count: byteCount)
        try #require(write(end, rubbish, byteCount) == byteCount)
    }

    /// Waits until sending fails: a child of another test, between fork and exec, may still hold
    /// the pipe.
    private func expectGone(
        _ inbox: SharedPayload.Memory, _ outlets: inout PipeOutlets
    ) {
        for _ in 0..<2_000 where send(1, to: inbox, &outlets) { usleep(5_000) }
        #expect(!send(1, to: inbox, &outlets))
    }

    @Test func recordsOfSeveralWritersArriveWhole() throws {
        let inbox = try #require(PipeInbox(for: .contribution))
        let place = try #require(inbox.place)
        #expect(inbox.receive().records.isEmpty)
        // The name has the greatest length.
        let other = PeerIdentity(rawValue: String(repeating: "n", count: 64))
        var one = PipeOutlets()
        var two = PipeOutlets()
        for number in 0..<100 {
            #expect(send(number, to: place, &one))
            #expect(send(number, to: place, &two, from: other))
        }
        var records: [PipeRecord] = []
        while true {
            let found = inbox.receive().records
            guard !found.isEmpty else { break }
            records += found
        }
        #expect(records.count == 200)
        for (index, record) in records.enumerated() {
            #expect(record.header == Self.shared(Self.header(index / 2)))
            #expect(record.place == Self.place(index / 2))
            #expect(record.sender == (index % 2 == 0 ? Self.sender : other))
        }
    }

    @Test func aFullInboxTakesNothingAndGoesOn() throws {
        let inbox = try #require(PipeInbox(for: .contribution))
        let place = try #require(inbox.place)
        var outlets = PipeOutlets()
        var sent = 0
        while send(sent, to: place, &outlets) {
            sent += 1
            try #require(sent < 100_000)
        }
        #expect(sent > 100)
        for _ in 0..<10 { #expect(!send(sent, to: place, &outlets)) }
        var steps: [Int] = []
        while true {
            let found = inbox.receive().records
            guard !found.isEmpty else { break }
            steps += found.map { $0.header.step.value }
        }
        #expect(steps == Array(0..<sent))
        #expect(send(1, to: place, &outlets))
        #expect(inbox.receive().records.count == 1)
    }

    @Test(arguments: [1, PipeRecord.byteCount, PipeRecord.byteCount * 3 + 1])
    func rubbishEndsIt(byteCount: Int) throws {
        let inbox = try #require(PipeInbox(for: .contribution))
        let place = try #require(inbox.place)
        var outlets = PipeOutlets()
        #expect(send(0, to: place, &outlets))
        #expect(inbox.receive().records.count == 1)
        for number in 1...3 { #expect(send(number, to: place, &outlets)) }
        try writeRubbish(byteCount, into: place)
        // The records before the rubbish are good.
        let last = inbox.receive()
        #expect(last.isSpoiled && last.records.map(\.header.step.value) == [1, 2, 3])
        #expect(inbox.place == nil)
        let nothing = inbox.receive()
        #expect(nothing.records.isEmpty && !nothing.isSpoiled)
        expectGone(place, &outlets)
        var others = PipeOutlets()
        #expect(!send(4, to: place, &others))
    }

    /// A worker takes weights from a pipe and a shard takes sums; other kinds end the pipe.
    @Test(arguments: BulkKind.allCases.filter { $0 != .contribution })
    func otherKindsAreRubbish(kind: BulkKind) throws {
        let inbox = try #require(PipeInbox(for: .contribution))
        let place = try #require(inbox.place)
        var outlets = PipeOutlets()
        let header = BulkHeader(kind: kind, step: Step(1), shard: ShardIndex(0))
        let isSent = outlets.send(header, Self.place(0), .fp32, from: Self.sender, to: place)
        #expect(isSent)
        let received = inbox.receive()
        #expect(received.records.isEmpty && received.isSpoiled)
    }

    /// When a peer describes an inbox falsely, nothing is written anywhere else.
    @Test func forgedPlacesAreNotWrittenTo() throws {
        let inbox = try #require(PipeInbox(for: .contribution))
        let place = try #require(inbox.place)
        let pool = FloatBufferPool(count: 1000, isShared: true)
        let slab = try #require(pool.take().sharedPayload())
        var victim: [Int32] = [0, 0]
        try #require(Glibc.pipe(&victim) == 0)
        defer { for end in victim { close(end) } }
        _ = fcntl(victim[0], F_SETFL, O_NONBLOCK)
        let number = try pipe(of: place)
        let forged = [
            Int(victim[0]), Int(victim[1]), Int(number), slab.memory.descriptor, 0, 1 << 20,
        ].map { descriptor in
            var copy = place
            copy.descriptor = descriptor
            return copy
        }
        var strange = [slab.memory, place, place]
        strange[1].token ^= 1
        strange[2].processIdentifier = 1 << 30
        for memory in forged + strange {
            var outlets = PipeOutlets()
            #expect(!send(0, to: memory, &outlets))
            #expect(!send(0, to: memory, &outlets))
        }
        var byte: UInt8 = 0
        #expect(read(victim[0], &byte, 1) == -1 && errno == EAGAIN)
        #expect(inbox.receive().records.isEmpty)
        // The page is ours, but names a wrong pipe.
        var wrong: UInt64 = 1
        try #require(pwrite(Int32(place.descriptor), &wrong, 8, 24) == 8)
        var outlets = PipeOutlets()
        #expect(!send(0, to: place, &outlets))
    }

    @Test func anInboxThatIsGoneIsNotAnError() throws {
        var outlets = PipeOutlets()
        var inbox = PipeInbox(for: .contribution)
        let place = try #require(inbox?.place)
        #expect(send(0, to: place, &outlets))
        inbox = nil
        expectGone(place, &outlets)
        #expect(!send(2, to: place, &outlets))
    }

    @Test func foreignRecordsNeverTrap() throws {
        let good = PipeRecord.bytes(
            Self.shared(Self.header(1)), Self.place(1), from: Self.sender)
        #expect(good.withUnsafeBytes { PipeRecord($0) } != nil)
        var random = RandomStream(seed: TestSeed.base, purpose: .simulation, 12)
        for _ in 0..<20_000 {
            var bytes = good
            for _ in 0...random.next(below: 8) {
                bytes[random.next(below: bytes.count)] = UInt8(random.next(below: 256))
            }
            if let record = bytes.withUnsafeBytes({ PipeRecord($0) }) {
                #expect(record.header.payloadType.isShared)
                #expect((1...64).contains(record.sender.rawValue.utf8.count))
            }
        }
    }

    /// The pipe descriptions in subscriptions and shared weights hold every value that a process
    /// may have.
    @Test func descriptionsNamePipes() throws {
        for token: UInt64 in [0, 1, .max, 0x7FF8_0000_0000_0001] {
            let memory = SharedPayload.Memory(
                processIdentifier: Int(Int32.max), descriptor: Int(Int32.max), token: token)
            let neighbour = Neighbour(hostKey: .max, pipe: memory)
            #expect(neighbour.bytes.withUnsafeBytes { Neighbour(bytes: $0) } == neighbour)
            var place = Self.place(1)
            place.pipe = memory
            #expect(place.bytes.withUnsafeBytes { SharedPayload(bytes: $0) } == place)
        }
        let alone = Neighbour(hostKey: 77, pipe: nil)
        #expect(alone.bytes.withUnsafeBytes { Neighbour(bytes: $0) } == alone)
        #expect(Self.place(1).bytes.withUnsafeBytes { SharedPayload(bytes: $0) }?.pipe == nil)
    }

    /// Neither a host key of 0 nor a process number above `Int32.max` exists.
    @Test func malformedDescriptionsAreRefused() {
        var bytes = Neighbour(hostKey: 1, pipe: nil).bytes
        bytes[0] = 0
        #expect(bytes.withUnsafeBytes { Neighbour(bytes: $0) } == nil)
        bytes[0] = 1
        bytes[11] = 0x80
        #expect(bytes.withUnsafeBytes { Neighbour(bytes: $0) } == nil)
        #expect(bytes.dropLast().withUnsafeBytes { Neighbour(bytes: $0) } == nil)
        var place = Self.place(1).bytes
        place[43] = 0x80
        #expect(place.withUnsafeBytes { SharedPayload(bytes: $0) } == nil)
    }
}
