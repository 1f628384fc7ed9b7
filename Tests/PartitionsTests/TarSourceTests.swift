import CounterRandom
import FoundationEssentials
import Partitions
import TestSupport
import Testing

/// Writes tar files block by block.
struct TarSample {
    var bytes: [UInt8] = []

    /// Returns a header of a member.
    static func header(
        _ name: [UInt8], size: Int, kind: Character = "0", prefix: String = "", isGNU: Bool = false,
        isBinary: Bool = false
    ) -> [UInt8] {
        var header = [UInt8](repeating: 0, count: 512)
        func put(_ bytes: some Collection<UInt8>, _ offset: Int) {
            header.replaceSubrange(offset..<offset + bytes.count, with: bytes)
        }
        func octal(_ value: Int, _ digits: Int) -> [UInt8] {
            let text = String(value, radix: 8)
            return Array((String(repeating: "0", count: digits - text.count) + text).utf8)
        }
        put(name.prefix(100), 0)
        put(octal(0o644, 7), 100)
        if isBinary {
            put([0x80, 0, 0, 0] + UInt64(size).littleEndianBytes.reversed(), 124)
        } else {
            put(octal(size, 11), 124)
        }
        put(octal(1_700_000_000, 11), 136)
        put([kind.asciiValue!], 156)
        put(Array((isGNU ? "ustar  \0" : "ustar\u{0}00").utf8), 257)
        put(Array(prefix.utf8), 345)
        let sum = header.reduce(0) { $0 + Int($1) } + 8 * 0x20
        put(octal(sum, 6) + [0, 0x20], 148)
        return header
    }

    mutating func add(
        _ name: String, _ data: [UInt8], kind: Character = "0", prefix: String = "",
        isGNU: Bool = false, isBinary: Bool = false
    ) {
        bytes += Self.header(
            Array(name.utf8), size: data.count, kind: kind, prefix: prefix, isGNU: isGNU,
            isBinary: isBinary)
        append(data)
    }

    private mutating func append(_ data: [UInt8]) {
        bytes += data + [UInt8](repeating: 0, count: (512 - data.count % 512) % 512)
    }

    /// A member with a pax header of these records before it.
    mutating func addPax(_ records: [(String, String)], _ name: String, _ data: [UInt8]) {
        var text = ""
        for (key, value) in records {
            let rest = " \(key)=\(value)\n"
            var length = rest.utf8.count
            while "\(length)\(rest)".utf8.count != length { length += 1 }
            text += "\(length)\(rest)"
        }
        add("PaxHeader", Array(text.utf8), kind: "x")
        add(name, data)
    }

    /// The file with the two blocks of zeros at its end.
    var whole: [UInt8] { bytes + [UInt8](repeating: 0, count: 1024) }
}

@Suite struct TarSourceTests {
    private func array(_ value: Int, count: Int = 6) -> [UInt8] {
        npy("|u1", [2, 3], (0..<6).map { UInt8(truncatingIfNeeded: value * 10 + $0) })
    }

    private func source(
        _ files: [String: [UInt8]], _ pattern: String = "*.tar",
        _ change: (inout SourceOptions) -> Void = { _ in }
    ) throws -> (TemporaryDirectory, ScannedSource) {
        let directory = try TemporaryDirectory()
        for (name, bytes) in files { try directory.write(bytes, name) }
        return (directory, try ScannedSource("tar:\(directory.path)/\(pattern)", change))
    }

    private func error(_ build: (inout TarSample) -> Void) -> DataError? {
        var sample = TarSample()
        build(&sample)
        return dataError {
            let (directory, source) = try source(["x.tar": sample.whole])
            try source.readAll()
            withExtendedLifetime(directory) {}
        }
    }

    // MARK: Members

    @Test func recordsAreReadInTheOrderOfTheShards() throws {
        var files: [String: [UInt8]] = [:]
        for shard in 0..<3 {
            var sample = TarSample()
            for record in 0..<4 {
                let number = shard * 4 + record
                sample.add("dir/k\(number).json", Array("{}".utf8))
                sample.add("dir/k\(number).npy", array(number))
                sample.add("dir/k\(number).cls", Array("\(number % 3)\n".utf8))
            }
            files["s-\(shard).tar"] = sample.whole
        }
        let (directory, source) = try source(files)
        let table = source.scan.training
        #expect(source.scan.shape == [1, 2, 3] && source.scan.elementType == .U8)
        #expect(table.labels == (0..<12).map { Int32($0 % 3) })
        #expect(table.name(5) == "s-1.tar/dir/k5.npy")
        for record in [11, 0, 5, 4, 11] {
            #expect(try source.bytes(record) == (0..<6).map { UInt8(record * 10 + $0) })
        }
        #expect(source.scan.remarks.count == 1)
        #expect(source.scan.test.count == 0)
        withExtendedLifetime(directory) {}
    }

    @Test func picturesAreDecoded() throws {
        var sample = TarSample()
        for record in 0..<3 {
            sample.add("\(record).png", Self.png(level: UInt8(record)))
            sample.add("\(record).cls", Array(["ok", "defect", "ok"][record].utf8))
        }
        sample.add("3.PNG", [1, 2, 3])
        sample.add("3.cls", Array("ok".utf8))
        let (directory, source) = try source(["x.tar": sample.whole]) {
            $0.image.picture.channels = 1
        }
        #expect(source.scan.shape == [1, 1, 1] && source.scan.classNames == ["defect", "ok"])
        #expect(source.scan.training.labels == [1, 0, 1, 1])
        for record in 0..<3 { #expect(try source.bytes(record) == [UInt8(record)]) }
        let error = dataError { try source.bytes(3) }
        #expect(error?.kind == .badRecord && error?.file == "x.tar/3.PNG")
        withExtendedLifetime(directory) {}
    }

    /// A grey PNG of one pixel, with the contents stored and not compressed.
    private static func png(level: UInt8) -> [UInt8] {
        func chunk(_ kind: String, _ data: [UInt8]) -> [UInt8] {
            let body = Array(kind.utf8) + data
            var crc = ~UInt32(0)
            for byte in body {
                crc ^= UInt32(byte)
                for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
            }
            return UInt32(data.count).littleEndianBytes.reversed() + body
                + (~crc).littleEndianBytes.reversed()
        }
        let row: [UInt8] = [0, level]
        let adler = UInt32(1 + Int(level)) | UInt32(2 + Int(level)) << 16
        let stored: [UInt8] = [0x78, 1, 1, 2, 0, 0xFD, 0xFF] + row
        return [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
            + chunk("IHDR", [0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0])
            + chunk("IDAT", stored + adler.littleEndianBytes.reversed()) + chunk("IEND", [])
    }

    @Test func longNamesAreRead() throws {
        let long = String(repeating: "d/", count: 90) + "key"
        var sample = TarSample()
        sample.add("npy/x", [], kind: "5")
        sample.add("././@LongLink", Array("\(long)1.npy\0".utf8), kind: "L", isGNU: true)
        sample.add("cut", array(1), isGNU: true)
        sample.addPax([("mtime", "1.5"), ("path", "\(long)1.cls")], "cut", Array("4".utf8))
        sample.add("b.npy", array(2), prefix: "some/dir", isBinary: true)
        sample.add("some/dir/b.cls", Array(" 5 ".utf8))
        sample.add("pax_global_header", Array("16 comment=abcd\n".utf8), kind: "g")
        sample.add("c.npy", array(3), kind: "\0")
        sample.add("c.cls", Array("6".utf8))
        let (directory, source) = try source(["x.tar": sample.whole])
        #expect(source.scan.training.labels == [4, 5, 6])
        #expect(source.scan.training.name(0) == "x.tar/\(long)1.npy")
        #expect(source.scan.training.name(1) == "x.tar/some/dir/b.npy")
        #expect(try source.bytes(2) == [30, 31, 32, 33, 34, 35])
        withExtendedLifetime(directory) {}
    }

    /// The key ends at the first point of the last part of the path.
    @Test func keysAreThoseOfWebDataset() throws {
        var sample = TarSample()
        sample.add("v1.2/a.npy", array(1))
        sample.add("v1.2/a.cls", Array("1".utf8))
        sample.add("b.left.npy", array(2))
        sample.add("b.cls", Array("0".utf8))
        sample.add("v1.2/.hidden.npy", array(3))
        sample.add("noending", [1])
        sample.add("../../c.npy", array(4))
        sample.add("../../c.cls", Array("0".utf8))
        let (directory, source) = try source(["x.tar": sample.whole])
        let table = source.scan.training
        #expect(
            (0..<table.count).map { table.name($0) } == [
                "x.tar/v1.2/a.npy", "x.tar/b.left.npy", "x.tar/../../c.npy",
            ])
        // The kind of b.left.npy is "left.npy", which is none that is read.
        #expect(dataError { try source.bytes(1) }?.expected == "a picture or an array")
        withExtendedLifetime(directory) {}
    }

    @Test func recordsThatLackSomethingAreNamed() throws {
        var sample = TarSample()
        sample.add("a.npy", array(1))
        sample.add("b.npy", array(2))
        sample.add("b.cls", Array("1".utf8))
        sample.add("c.cls", Array("1".utf8))
        sample.add("d.npy", array(4))
        sample.add("d.npy", array(4))
        sample.add("d.cls", Array("1".utf8))
        sample.add("e.npy", npy("|u1", [3, 2], [1, 2, 3, 4, 5, 6]))
        sample.add("e.cls", Array("1".utf8))
        sample.add("f.png", Self.png(level: 1))
        sample.add("f.cls", Array("1".utf8))
        sample.add("g.npy", [1, 2, 3])
        sample.add("g.cls", [UInt8](repeating: 65, count: 300))
        let (directory, source) = try source(["x.tar": sample.whole])
        #expect(source.scan.training.count == 7)
        let expected: [String?] = [
            "a member with its label, .cls", nil, "a picture or an array",
            "one picture or array for a key", "u1 [2, 3], as the first", "an array, as before",
            "at most 256 bytes",
        ]
        for (record, text) in expected.enumerated() {
            let error = dataError { try source.bytes(record) }
            #expect(error?.expected == text)
            #expect(error == nil || error?.kind == .badRecord)
        }
        withExtendedLifetime(directory) {}
    }

    @Test func shardsThatCannotBeReadAreNamed() throws {
        let data = array(1)
        let one = Array("1".utf8)
        #expect(error { $0.add("a.npy", data, kind: "1") }?.found == "a link")
        #expect(error { $0.add("a.npy", data, kind: "2") }?.found == "a link")
        #expect(error { $0.add("a.npy", data, kind: "S") }?.found == "a sparse file")
        #expect(
            error { $0.addPax([("GNU.sparse.major", "1")], "a.npy", data) }?.found
                == "a sparse file")
        #expect(error { $0.add("a.npy", data, kind: "3") }?.kind == .badRecord)
        #expect(error { $0.addPax([("size", "-1")], "a.npy", data) }?.expected == "a size")
        #expect(
            error { $0.addPax([("size", "99999999999999999999")], "a.npy", data) }?.kind
                == .truncated)
        #expect(error { $0.add("x", Array("9 path=a".utf8), kind: "x") }?.kind == .badRecord)
        #expect(
            error {
                $0.add("x", [UInt8](repeating: 65, count: 5000), kind: "L")
                $0.add("a", one)
            }?.what
                == "name of the member at byte 5632")
        let mixed = error {
            $0.add("a.npy", data)
            $0.add("b.npy", data)
            $0.add("a.cls", one)
        }
        #expect(mixed?.what == "key 'a'" && mixed?.expected == "its members behind each other")
        #expect(error { $0.add("a.txt", one) }?.kind == .emptySet)
        #expect(
            error {
                $0.add("a.npy", data)
                $0.bytes[0] ^= 1
            }?.kind == .checksumMismatch)
        #expect(
            error {
                $0.add("a.npy", data)
                $0.bytes += [UInt8](repeating: 0, count: 1024) + [1]
            }?.kind == .trailingBytes)
    }

    @Test func cutShardsAreTruncated() throws {
        var sample = TarSample()
        sample.add("a.npy", array(1))
        sample.add("a.cls", Array("1".utf8))
        for count in [0, 100, 512, 600, 1024, 1100, 1536, 1600, sample.bytes.count] {
            let error = dataError { try source(["x.tar": Array(sample.bytes.prefix(count))]) }
            #expect(error?.kind == .truncated, "\(count)")
        }
    }

    @Test(
        arguments: [[0x1F, 0x8B, 8], [0x28, 0xB5, 0x2F, 0xFD], [0x42, 0x5A, 0x68, 0x39]]
            as [[UInt8]])
    func compressedShardsAreRefused(magic: [UInt8]) throws {
        let error = dataError { try source(["x.tar": magic + [UInt8](repeating: 0, count: 2000)]) }
        #expect(error?.kind == .wrongMagic && error?.advice.hasPrefix("decompress it") == true)
    }

    // MARK: Patterns

    private func shard(_ label: Int) -> [UInt8] {
        var sample = TarSample()
        sample.add("a.npy", array(label))
        sample.add("a.cls", Array("\(label)".utf8))
        return sample.whole
    }

    @Test func patternsFindShards() throws {
        var files: [String: [UInt8]] = [:]
        for number in 0..<12 { files["s-\(number < 10 ? "00" : "0")\(number).tar"] = shard(number) }
        files["other.tar"] = shard(99)
        func labels(_ pattern: String) throws -> [Int32] {
            try source(files, pattern).1.scan.training.labels
        }
        #expect(try labels("s-{000..011}.tar") == (0..<12).map { $0 })
        #expect(try labels("s-{003..001}.tar") == [1, 2, 3])
        #expect(try labels("s-00{0,2,{4..5},{7,9}}.tar") == [0, 2, 4, 5, 7, 9])
        #expect(try labels("s-01?.tar") == [10, 11])
        #expect(try labels("s-00[12].tar") == [1, 2])
        #expect(try labels("other.tar") == [99])
        #expect(try labels("{s-00*,other,s-003}.tar") == [99] + (0..<10).map { $0 })
        for bad in ["none*.tar", "s-{000..012}.tar", "{}.tar", "s-{000..999999999}.tar"] {
            #expect(dataError { try labels(bad) }?.kind == .unreadable, "\(bad)")
        }
        let many = String(repeating: "{0..99}", count: 6)
        #expect(dataError { try labels(many) }?.kind == .badSetting)
        let deep = String(repeating: "{a,", count: 40) + String(repeating: "}", count: 40)
        #expect(dataError { try labels(deep) }?.kind == .badSetting)
    }

    @Test func namesDivideTheShards() throws {
        let files = [
            "test-data/train-0.tar": shard(0), "test-data/train-1.tar": shard(1),
            "test-data/val-0.tar": shard(2), "test-data/interval.tar": shard(3),
        ]
        let (directory, source) = try source(files, "test-data/*.tar")
        #expect(source.scan.training.labels == [3, 0, 1] && source.scan.test.labels == [2])
        let folders = ["train/0.tar": shard(4), "test/0.tar": shard(5)]
        let (other, divided) = try self.source(folders, "{train,test}/0.tar")
        #expect(divided.scan.training.labels == [4] && divided.scan.test.labels == [5])
        #expect(divided.scan.test.name(0) == "test/0.tar/a.npy")
        let error = dataError { try self.source(folders, "t*t/*.tar") }
        #expect(error?.kind == .emptySet)
        withExtendedLifetime((directory, other)) {}
    }

    // MARK: Any bytes

    /// For any bytes, reading returns or throws; it never traps.
    @Test func damagedShardsOnlyThrow() throws {
        var random = RandomStream(seed: 41, purpose: .simulation)
        let directory = try TemporaryDirectory()
        var sample = TarSample()
        sample.add("a.npy", array(1))
        sample.add("a.cls", Array("1".utf8))
        sample.addPax([("path", "some/b.npy"), ("size", "134")], "x", array(2))
        sample.addPax([("path", "some/b.cls")], "x", Array("2".utf8))
        sample.add("x", Array("long/c.png\0".utf8), kind: "L")
        sample.add("cut", Self.png(level: 3))
        let original = sample.whole
        for round in 0..<3000 {
            var bytes = original
            if random.next(below: 2) == 0 {
                bytes = mutated(original, &random)
            } else {
                // A change in a member's header, with a checksum that fits.
                let blocks = Swift.stride(from: 0, to: original.count - 1024, by: 512)
                    .filter { original[$0 + 257..<$0 + 262].elementsEqual("ustar".utf8) }
                let block = blocks[random.next(below: blocks.count)]
                let place = block + random.next(below: 345)
                bytes[place] = UInt8(random.next(below: 256))
                bytes.replaceSubrange(
                    block + 148..<block + 156, with: [UInt8](repeating: 0x20, count: 8))
                let sum = bytes[block..<block + 512].reduce(0) { $0 + Int($1) }
                let text = String(sum, radix: 8)
                let digits = String(repeating: "0", count: 6 - text.count) + text
                bytes.replaceSubrange(block + 148..<block + 154, with: Array(digits.utf8))
                bytes[block + 154] = 0
            }
            try directory.write(bytes, "x.tar")
            do { try ScannedSource("tar:\(directory.path)/x.tar").readAll() } catch {
                #expect(error is DataError, "round \(round): \(error)")
                #expect(!"\(error)".contains("\n"))
            }
        }
    }
}
