import ClusterProtocol
import CounterRandom
import TestSupport
import Testing

@Suite struct DataHeaderTests {
    private static func parse(_ bytes: [UInt8]) throws -> DataHeader {
        try bytes.withUnsafeBytes { try DataHeader(bytes: $0) }
    }

    /// The header's bytes equal the layout in its table; a change here is a new version.
    @Test func goldenBytes() throws {
        let header = DataHeader(
            .piece, DataObject(.test, 0x0102_0304), offset: 0x1112_1314_1516,
            askedByteCount: 0x0002_0304, totalByteCount: 0x2122_2324_2526,
            payloadByteCount: 0x3132_3334_3536)
        let golden: [UInt8] = [
            0x43, 0x56, 0x44, 0x41, 0x01, 0x00, 0x02, 0x02,  // magic, version, kind, object
            0x04, 0x03, 0x02, 0x01, 0x04, 0x03, 0x02, 0x00,  // index, bytes asked for
            0x16, 0x15, 0x14, 0x13, 0x12, 0x11, 0x00, 0x00,  // offset
            0x26, 0x25, 0x24, 0x23, 0x22, 0x21, 0x00, 0x00,  // bytes of the object
            0x36, 0x35, 0x34, 0x33, 0x32, 0x31, 0x00, 0x00,  // bytes of the payload
        ]
        #expect(header.bytes == golden)
        #expect(try Self.parse(golden) == header)
    }

    /// Any bytes are read or refused, and what is read is within its limits.
    @Test func foreignBytes() throws {
        for seed in TestSeed.seeds(20_000) {
            var random = RandomStream(seed: seed, purpose: .simulation, 40)
            let object = DataObject(.training, 3)
            var bytes = DataHeader(.ask, object, offset: 7, askedByteCount: 9).bytes
            for _ in 0...random.next(below: 3) {
                bytes[random.next(below: bytes.count)] = UInt8(random.next(below: 256))
            }
            if random.next(below: 8) == 0 { bytes.removeLast(random.next(below: bytes.count)) }
            guard let header = try? Self.parse(bytes) else { continue }
            #expect(header.bytes == bytes, "seed \(seed)")
            #expect(header.askedByteCount <= DataHeader.maximumPieceByteCount, "seed \(seed)")
            #expect(header.offset >= 0 && header.offset < 1 << 48, "seed \(seed)")
        }
    }
}
