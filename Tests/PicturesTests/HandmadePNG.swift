/// A PNG put together byte by byte, with stored deflate blocks.
struct HandmadePNG {
    var width = 2
    var height = 2
    var bitDepth: UInt8 = 8
    var colourType: UInt8 = 0
    /// Rows as they stand in the file, without the filter's byte.
    var rows: [[UInt8]] = [[10, 20], [30, 40]]

    var bytes: [UInt8] {
        let header = Self.word(width) + Self.word(height) + [bitDepth, colourType, 0, 0, 0]
        let raw = rows.flatMap { [UInt8(0)] + $0 }
        return [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A] + Self.chunk("IHDR", header)
            + Self.chunk("IDAT", Self.stored(raw)) + Self.chunk("IEND", [])
    }

    static func word(_ number: Int) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) }
    }

    static func chunk(_ name: String, _ data: [UInt8]) -> [UInt8] {
        let body = Array(name.utf8) + data
        return word(data.count) + body + word(Int(checksum(body)))
    }

    /// One stored block, which holds up to 65,535 bytes.
    private static func stored(_ raw: [UInt8]) -> [UInt8] {
        let length = UInt16(raw.count)
        var a = 1
        var b = 0
        for byte in raw {
            a = (a + Int(byte)) % 65_521
            b = (b + a) % 65_521
        }
        let size = [UInt8(truncatingIfNeeded: length), UInt8(length >> 8)]
        return [0x78, 0x01, 0x01] + size + size.map { ~$0 } + raw + word(b << 16 | a)
    }

    private static func checksum(_ bytes: [UInt8]) -> UInt32 {
        var sum: UInt32 = 0xFFFF_FFFF
        for byte in bytes {
            sum ^= UInt32(byte)
            for _ in 0..<8 { sum = sum & 1 == 1 ? sum >> 1 ^ 0xEDB8_8320 : sum >> 1 }
        }
        return ~sum
    }
}
