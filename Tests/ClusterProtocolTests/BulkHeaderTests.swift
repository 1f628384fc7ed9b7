import ClusterProtocol
import CounterRandom
import TestSupport
import Testing

@Suite struct BulkHeaderTests {
    private static func parse(_ bytes: [UInt8]) throws -> BulkHeader {
        try bytes.withUnsafeBytes { try BulkHeader(bytes: $0) }
    }

    private static var sample: BulkHeader {
        var header = BulkHeader(kind: .contribution, step: Step(0x0102_0304), shard: ShardIndex(0x0506))
        header.payloadType = .float32
        header.chunk = ChunkIndex(0x0708_090A)
        header.part = 0x0B
        header.node = TreeNode(level: 0x0C, index: 0x0D0E)
        header.totals = ContributionTotals(
            sampleCount: 0x1112_1314, lossSum: -2.5, correctCount: 0x2122_2324,
            recordDigest: 0x3132_3334_3536_3738, weightSum: 0.625)
        header.placement = Placement(0x4142_4344)
        header.payloadByteCount = 0x5152_5354
        return header
    }

    private static func random(_ seed: UInt64) -> BulkHeader {
        var random = RandomStream(seed: seed, purpose: .simulation, 2)
        let kind = BulkKind.allCases[random.next(below: BulkKind.allCases.count)]
        var header = BulkHeader(
            kind: kind, step: Step(Int(random.next() >> 16)),
            shard: ShardIndex(random.next(below: 1 << 16)))
        header.payloadType =
            PayloadType.allCases[random.next(below: PayloadType.allCases.count)]
        header.chunk = ChunkIndex(Int(random.next32()))
        header.part = random.next(below: 256)
        header.node = TreeNode(level: random.next(below: 32), index: Int(random.next32()))
        header.totals = ContributionTotals(
            sampleCount: Int(random.next32()), lossSum: Double(random.nextUniform()) * 1e9,
            correctCount: Int(random.next32()), recordDigest: random.next(),
            weightSum: Double(random.nextUniform()) * 1e9)
        header.placement = Placement(Int(random.next32()))
        header.payloadByteCount = Int(random.next() >> 1)
        return header
    }

    /// The header's bytes equal the layout in its table; a change here is a new version.
    @Test func goldenBytes() throws {
        let golden: [UInt8] = [
            0x43, 0x56, 0x4F, 0x59, 0x02, 0x00, 0x01, 0x01,  // magic, version, kind, payload type
            0x04, 0x03, 0x02, 0x01, 0x00, 0x00, 0x00, 0x00,  // step
            0x0A, 0x09, 0x08, 0x07, 0x0C, 0x0B, 0x06, 0x05,  // chunk, level, part, shard
            0x0E, 0x0D, 0x00, 0x00, 0x14, 0x13, 0x12, 0x11,  // node index, sample count
            0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0xC0,  // loss sum
            0x38, 0x37, 0x36, 0x35, 0x34, 0x33, 0x32, 0x31,  // record digest
            0x24, 0x23, 0x22, 0x21, 0x44, 0x43, 0x42, 0x41,  // correct count, placement
            0x54, 0x53, 0x52, 0x51, 0x00, 0x00, 0x00, 0x00,  // payload byte count
            0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xE4, 0x3F,  // weight sum
        ]
        #expect(Self.sample.bytes == golden)
        #expect(try Self.parse(golden) == Self.sample)
    }

    @Test func kindsAndTypesKeepTheirNumbers() {
        #expect(BulkKind.allCases.map(\.rawValue) == Array(1...12))
        #expect(BulkKind(rawValue: 1) == .contribution && BulkKind(rawValue: 2) == .weights)
        #expect(BulkKind(rawValue: 3) == .fetch && BulkKind(rawValue: 4) == .state)
        #expect(BulkKind(rawValue: 5) == .unsubscribe && BulkKind(rawValue: 10) == .fetchChunk)
        #expect(BulkKind(rawValue: 8) == .combine && BulkKind(rawValue: 9) == .follow)
        #expect(BulkKind(rawValue: 11) == .squares && BulkKind(rawValue: 12) == .fetchSquares)
        #expect(PayloadType.allCases.map(\.rawValue) == Array(0...7))
        #expect(PayloadType(rawValue: 7) == .float64)
        #expect(PayloadType(rawValue: 1) == .float32 && PayloadType(rawValue: 4) == .bfloat16)
    }

    @Test func roundTrip() throws {
        for seed in TestSeed.seeds(5_000) {
            let header = Self.random(seed)
            #expect(header.bytes.count == BulkHeader.byteCount)
            #expect(try Self.parse(header.bytes) == header, "seed \(seed)")
        }
    }

    /// With any value in any byte, the header is refused or encodes to exactly these bytes.
    @Test func everyMutationIsRefusedOrMeant() {
        for header in [Self.sample] + TestSeed.seeds(20).map(Self.random) {
            let good = header.bytes
            for position in good.indices {
                for value in UInt8.min...UInt8.max {
                    var bytes = good
                    bytes[position] = value
                    guard let read = try? Self.parse(bytes) else { continue }
                    #expect(read.bytes == bytes, "byte \(position) as \(value)")
                }
            }
        }
    }

    @Test func randomBytesNeverTrap() {
        for seed in TestSeed.seeds(20_000) {
            var random = RandomStream(seed: seed, purpose: .simulation, 3)
            // The first words are right, so that the parser reads the rest too.
            var bytes = Array(Self.sample.bytes[..<8])
            while bytes.count < BulkHeader.byteCount {
                bytes.append(UInt8(truncatingIfNeeded: random.next32()))
            }
            if let read = try? Self.parse(bytes) { #expect(read.bytes == bytes, "seed \(seed)") }
        }
    }

    @Test func otherLengthsAreRefused() {
        let good = Self.sample.bytes
        for count in 0..<BulkHeader.byteCount {
            #expect(throws: BulkHeader.Flaw.size) { try Self.parse(Array(good[..<count])) }
        }
        #expect(throws: BulkHeader.Flaw.size) { try Self.parse(good + [0]) }
        #expect(throws: BulkHeader.Flaw.size) { try Self.parse(good + good) }
    }

    @Test(
        arguments: [
            (0, 0x44, BulkHeader.Flaw.magic), (3, 0x58, .magic), (4, 1, .version), (5, 1, .version),
            (6, 0, .kind), (6, 200, .kind), (7, 8, .payloadType), (7, 255, .payloadType),
            (14, 1, .field), (15, 0x80, .field), (20, 32, .field), (20, 255, .field),
            (63, 0x80, .field),
        ])
    func flawsHaveNames(position: Int, value: UInt8, flaw: BulkHeader.Flaw) {
        var bytes = Self.sample.bytes
        bytes[position] = value
        #expect(throws: flaw) { try Self.parse(bytes) }
    }

    /// A frame may begin anywhere.
    @Test func unalignedBytesAreRead() throws {
        let bytes = [0] + Self.sample.bytes
        let read = try bytes.withUnsafeBytes {
            try BulkHeader(bytes: UnsafeRawBufferPointer(rebasing: $0[1...]))
        }
        #expect(read == Self.sample)
    }
}
