import CounterRandom
import FoundationEssentials
import Partitions
import TestSupport
import Testing

@Suite struct IDXSourceTests {
    private let sample = IDXSample()

    @Test(arguments: [("-", ""), (".", ""), ("-", ".gz"), (".", ".gz")], [false, true])
    func spellingsAndCompressionMakeNoDifference(form: (String, String), compressing: Bool) throws {
        let (_, plain) = try sample.open()
        let directory = try TemporaryDirectory()
        try sample.write(to: directory, separator: form.0, ending: form.1) {
            compressing ? gzipped($1) : $1
        }
        let dataSet = try DataSet.open(.idx(directory: directory.path), partitionCount: 3)
        #expect(dataSet.description.fingerprint == plain.description.fingerprint)
        #expect(try DataSource.describe(.idx(directory: directory.path)) == dataSet.description)
    }

    @Test func everyRecordIsRead() throws {
        let (_, dataSet) = try sample.open()
        let description = dataSet.description
        #expect(description.shape == [1, 3, 5])
        #expect(description.classCount == 4)
        #expect(description.trainingCount == 23)
        #expect(description.testCount == 7)
        #expect(description.elementType == .U8)
        for (split, count) in [(DataSplit.training, 23), (.test, 7)] {
            let (images, labels) = try dataSet.gather(split, records: Array((0..<count).reversed()))
            for (position, record) in (0..<count).reversed().enumerated() {
                #expect(labels[position] == Int32(sample.label(record)))
                for place in 0..<15 {
                    #expect(
                        images[position * 15 + place] == Float(sample.pixel(record, place)) / 255)
                }
            }
        }
    }

    @Test func all256PixelValuesAreExactQuotients() throws {
        var sample = IDXSample()
        (sample.counts.training, sample.height, sample.width) = (1, 16, 16)
        (sample.counts.test) = 1
        let directory = try TemporaryDirectory()
        try sample.write(to: directory) { stem, bytes in
            stem.hasSuffix("images") ? Array(bytes.prefix(16)) + (0...255) : bytes
        }
        let dataSet = try DataSet.open(.idx(directory: directory.path), partitionCount: 1)
        let (images, _) = try dataSet.gather(.training, records: [0])
        #expect(images.map(\.bitPattern) == (0...255).map { (Float($0) / Float(255)).bitPattern })
    }

    @Test func partitionsCutTheRecordsInOrder() throws {
        let (directory, dataSet) = try sample.open(partitionCount: 4)
        #expect(dataSet.partitions.map(\.recordRange) == [0..<6, 6..<12, 12..<18, 18..<23])
        #expect(dataSet.partitionRecordCounts == [6, 6, 6, 5])
        #expect(dataSet.partitions.map(\.index) == [0, 1, 2, 3])
        let lineage = dataSet.partitions[1].lineage
        #expect(
            lineage.steps == [
                .source(
                    specification: "idx:\(directory.path)",
                    fingerprint: dataSet.description.fingerprint),
                .records(file: "\(directory.path)/train-images-idx3-ubyte", range: 6..<12),
            ])
        let copy = try JSONDecoder().decode(
            Partition.self, from: JSONEncoder().encode(dataSet.partitions[1]))
        #expect(copy == dataSet.partitions[1])
        // The lineage is enough to read the partition again.
        guard case .source(let specification, _) = copy.lineage.steps[0] else { return }
        let again = try DataSet.open(DataSpecification(specification), partitionCount: 1)
        #expect(
            try again.stored(.training, range: copy.recordRange).images
                == dataSet.stored(.training, range: 6..<12).images)
    }

    @Test func partitionCountsThatCannotBeAreRefused() throws {
        let (directory, _) = try sample.open()
        for count in [-1, 0, 24] {
            let error = dataError {
                try DataSet.open(.idx(directory: directory.path), partitionCount: count)
            }
            #expect(error?.kind == .badSetting)
            #expect(error?.description.contains("\(count)") == true)
            if count == 24 { #expect(error?.description.contains("23") == true) }
        }
    }

    /// Each flaw of a file has its own name, both when describing and when opening.
    @Test(
        arguments: [
            ("cut gzip", "train-images", .truncatedCompression),
            ("gzip without its checksum", "t10k-labels", .truncatedCompression),
            ("gzip checksum", "train-images", .badCompressionChecksum),
            ("gzip contents", "train-images", .corruptCompression),
            ("garbage after gzip", "train-labels", .trailingBytes),
            ("long inside gzip", "train-images", .trailingBytes),
            ("short inside gzip", "train-images", .truncated),
            ("long", "t10k-images", .trailingBytes),
            ("short", "train-images", .truncated),
            ("empty file", "train-images", .truncated),
            ("magic", "train-images", .wrongMagic),
            ("magic", "train-labels", .wrongMagic),
            ("count of labels", "train-labels", .sizeMismatch),
            ("no records", "train-images", .emptySet),
            ("no pixels", "train-images", .sizeMismatch),
            ("huge", "train-images", .truncated),
            ("huge inside gzip", "train-images", .truncated),
            ("other shape", "t10k-images", .sizeMismatch),
        ] as [(String, String, DataError.Kind)])
    func damageIsNamed(damage: String, stem: String, kind: DataError.Kind) throws {
        let directory = try TemporaryDirectory()
        try sample.write(to: directory) { $0 == stem ? damaged($1, by: damage) : $1 }
        let specification = DataSpecification.idx(directory: directory.path)
        let described = dataError { try DataSource.describe(specification) }
        let opened = dataError { try DataSet.open(specification, partitionCount: 2) }
        #expect(described?.kind == kind, "\(described.map(String.init(describing:)) ?? "none")")
        #expect(described == opened)
        #expect(described?.file.contains(stem) == true || damage == "other shape")
        #expect(described?.description.contains("\n") == false)
    }

    private func damaged(_ bytes: [UInt8], by damage: String) -> [UInt8] {
        var packed = gzipped(bytes)
        switch damage {
        case "cut gzip": return Array(packed.prefix(packed.count / 2))
        case "gzip without its checksum": return Array(packed.dropLast(8))
        case "gzip checksum":
            packed[packed.count - 8] ^= 1
            return packed
        case "gzip contents":
            packed[10] = 0xFF
            return packed
        case "garbage after gzip": return packed + [1, 2, 3]
        case "long inside gzip": return gzipped(bytes + [0])
        case "short inside gzip": return gzipped(bytes.dropLast())
        case "long": return bytes + [0]
        case "short": return bytes.dropLast()
        case "empty file": return []
        case "magic": return [0, 0, 8, 2] + bytes.dropFirst(4)
        case "count of labels":
            return bytes.prefix(4) + IDXSample.word(22) + bytes.dropFirst(8).dropLast()
        case "no records": return bytes.prefix(4) + IDXSample.word(0) + bytes[8..<16]
        case "no pixels": return bytes.prefix(8) + IDXSample.word(0) + bytes[12..<16]
        case "huge":
            return bytes.prefix(4) + [UInt8](repeating: 0xFF, count: 12) + bytes.dropFirst(16)
        case "huge inside gzip":
            return gzipped(
                bytes.prefix(4) + [UInt8](repeating: 0xFF, count: 12) + bytes.dropFirst(16))
        default: return IDXSample(height: 5, width: 3).images(7)
        }
    }

    @Test func gzipMembersInARowAreOneFile() throws {
        let (_, plain) = try sample.open()
        let directory = try TemporaryDirectory()
        try sample.write(to: directory) {
            gzipped(Array($1.prefix(21))) + gzipped(Array($1.dropFirst(21)))
        }
        let description = try DataSource.describe(.idx(directory: directory.path))
        #expect(description.fingerprint == plain.description.fingerprint)
    }

    @Test func missingAndForbiddenFilesAreUnreadable() throws {
        let directory = try TemporaryDirectory()
        #expect(
            dataError { try DataSource.describe(.idx(directory: directory.path)) }?.kind
                == .unreadable)
        try sample.write(to: directory)
        let path = directory.path + "/t10k-labels-idx1-ubyte"
        try FileManager.default.removeItem(atPath: path)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        #expect(
            dataError { try DataSource.describe(.idx(directory: directory.path)) }?.kind
                == .unreadable)
    }

    /// For any bytes, reading returns or throws; it never traps.
    @Test func damagedFilesOnlyThrow() throws {
        var random = RandomStream(seed: 11, purpose: .simulation)
        let directory = try TemporaryDirectory()
        let stems = ["train-images", "train-labels", "t10k-images", "t10k-labels"]
        for round in 0..<1500 {
            let stem = stems[random.next(below: 4)]
            let compressing = random.next(below: 2) == 0
            try sample.write(to: directory) { name, bytes in
                let bytes = compressing ? gzipped(bytes) : bytes
                return name == stem ? mutated(bytes, &random) : bytes
            }
            let specification = DataSpecification.idx(directory: directory.path)
            let described = dataError { try DataSource.describe(specification) }
            let opened = dataError { try DataSet.open(specification, partitionCount: 1) }
            #expect(described == opened, "round \(round)")
        }
    }
}

/// Returns `bytes` with a few of them changed, removed or added at random, often near the front, or
/// with the end cut off.
func mutated(_ bytes: [UInt8], _ random: inout RandomStream) -> [UInt8] {
    var bytes = bytes
    if random.next(below: 4) == 0 { return Array(bytes.prefix(random.next(below: bytes.count))) }
    for _ in 0...random.next(below: 3) {
        let bound = random.next(below: 2) == 0 ? min(24, bytes.count) : bytes.count
        let index = random.next(below: bound)
        switch random.next(below: 3) {
        case 0: bytes[index] = UInt8(random.next(below: 256))
        case 1: bytes[index] ^= 1 << UInt8(random.next(below: 8))
        default: bytes.insert(UInt8(random.next(below: 256)), at: index)
        }
    }
    return bytes
}
