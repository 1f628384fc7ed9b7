import Checksums
import CounterRandom
import FoundationEssentials
import Partitions
import SafeTensors
import TestSupport
import Testing

/// Partitions whose records have targets in place of labels.
@Suite struct TargetsTests {
    private static let counts = [5, 0, 7]
    private static let testCount = 4

    private static func target(_ record: Int, _ place: Int) -> Float {
        Float(record * 3 + place) * 0.37 - 5
    }

    /// Writes a directory as a Python script would: F32 images [1, 2, 3], and three targets.
    private func write(
        bad: Float? = nil, dataType: String = "targets", manifest change: (String) -> String = { $0 }
    ) throws -> TemporaryDirectory {
        let directory = try TemporaryDirectory()
        var lists: [[String]] = [[], []]
        var first = 0
        for (index, count) in (Self.counts + [Self.testCount]).enumerated() {
            var targets = (0..<count * 3).map { Self.target(first + $0 / 3, $0 % 3) }
            if let bad, index == 2 { targets[4] = bad }
            let bytes = try SafeTensorsFile.encode(tensors: [
                SafeTensor(
                    name: "images", shape: [count, 1, 2, 3],
                    floats: (0..<count * 6).map { Float(first * 6 + $0) }),
                SafeTensor(name: dataType, shape: [count, 3], floats: targets),
            ])
            try directory.write(bytes, "part-\(index).safetensors")
            let sha256 = hexadecimal(SHA256.hash(data: bytes))
            let entry = #"{"file": "part-\#(index).safetensors", "records": \#(count), "#
            lists[index == 3 ? 1 : 0].append(entry + #""sha256": "\#(sha256)"}"#)
            first = index == 2 ? 0 : first + count
        }
        let manifest = """
            {"version": 1, "format": "convoy-partitions", "name": "hand", "targets": 3,
             "dtype": "F32", "shape": [1, 2, 3], "training": [\(lists[0].joined(separator: ", "))],
             "test": [\(lists[1].joined(separator: ", "))]}
            """
        try directory.write(Array(change(manifest).utf8), "manifest.json")
        return directory
    }

    private func open(_ directory: TemporaryDirectory, limit: Int = 1 << 20) throws -> DataSet {
        try DataSet.open(
            .partitions(directory: directory.path), partitionCount: 1, memoryLimitByteCount: limit)
    }

    private func error(_ directory: TemporaryDirectory) -> DataError? {
        let described = dataError {
            try DataSource.describe(.partitions(directory: directory.path))
        }
        let verified = dataError { try PartitionVerifier.verify(directory: directory.path) }
        #expect(described?.kind == verified?.kind)
        return described
    }

    @Test(arguments: [0, 300, 1 << 20])
    func targetsAreRead(limit: Int) throws {
        let directory = try write()
        #expect(error(directory) == nil)
        let dataSet = try open(directory, limit: limit)
        let description = dataSet.description
        #expect(description.targetCount == 3 && description.classCount == 0)
        #expect(description.classHistogram.isEmpty && description.trainingCount == 12)
        #expect(dataSet.partitionRecordCounts == Self.counts)
        let batch = Microbatch(capacity: 12, shape: description.shape, targetCount: 3)
        for round in 0..<3 {
            let records = (0..<12).map { UInt64(($0 * 5 + round) % 12) }
            try batch.load(from: dataSet, .training, records: records)
            let targets = try #require(batch.targets)
            for (position, record) in records.enumerated() {
                #expect(batch.images[position * 6] == Float(record * 6))
                for place in 0..<3 {
                    #expect(targets[position * 3 + place] == Self.target(Int(record), place))
                }
                #expect(batch.labels[position] == 0)
            }
        }
        let part = try dataSet.targets(.training, range: 3..<8)
        #expect(part == (9..<24).map { Self.target($0 / 3, $0 % 3) })
        #expect(try dataSet.targets(.test, range: 0..<4).count == 12)
    }

    /// A copy in other pieces holds equal records, and its copies have equal bytes.
    @Test func targetsAreWritten() throws {
        let directory = try write()
        defer { withExtendedLifetime(directory) {} }
        let source = try open(directory)
        let (first, second) = (try TemporaryDirectory(), try TemporaryDirectory())
        try PartitionWriter.write(source, partitionCount: 4, directory: first.path)
        #expect(error(first) == nil)
        let copy = try open(first)
        var expected = source.description
        expected.fingerprint = copy.description.fingerprint
        #expect(copy.description == expected)
        #expect(
            try copy.targets(.training, range: 0..<12) == source.targets(.training, range: 0..<12))
        #expect(
            try copy.stored(.training, range: 0..<12) == source.stored(.training, range: 0..<12))
        try PartitionWriter.write(copy, partitionCount: 4, directory: second.path)
        let names = try FileManager.default.contentsOfDirectory(atPath: first.path)
        #expect(names.count == 7)
        for name in names { #expect(try first.read(name) == second.read(name)) }
        let export = try PartitionExport(
            .partitions(directory: first.path), partitionCount: 1)
        let catalog = try PartitionCatalog.parse(export.catalog.json, from: "memory")
        #expect(catalog == export.catalog && catalog.description.targetCount == 3)
        let text = String(decoding: export.catalog.json, as: UTF8.self)
        for (old, new) in [(#""targetCount":3"#, #""targetCount":2"#), (#","targets":3"#, "")] {
            #expect(text.contains(old))
            let error = dataError {
                try PartitionCatalog.parse(Array(text.replacing(old, with: new).utf8), from: "x")
            }
            #expect(error?.kind == .badManifest)
        }
    }

    @Test(arguments: [Float.nan, .infinity, -.infinity])
    func targetsMustBeFinite(_ bad: Float) throws {
        let directory = try write(bad: bad)
        let error = error(directory)
        #expect(error?.kind == .badTarget && error?.what == "target 1 of record 1")
        #expect(
            dataError { try open(directory).gather(.training, records: [5]) }?.kind == .badTarget)
        #expect(dataError { try open(directory).gather(.training, records: [0]) } == nil)
    }

    @Test(
        arguments: [
            (#""targets": 3"#, #""targets": 4"#, .badPartitionFile),
            (#""targets": 3"#, #""targets": 0"#, .badManifest),
            (#""targets": 3"#, #""targets": -3"#, .badManifest),
            (#""targets": 3"#, #""targets": 9223372036854775807"#, .badManifest),
            (#""targets": 3"#, #""targets": 3, "classes": 3"#, .badManifest),
            (#""targets": 3"#, #""classes": 3"#, .badManifest),
            (#""targets": 3,"#, "", .badManifest),
            (#""records": 5"#, #""records": 5, "histogram": [5]"#, .badManifest),
            (#""records": 5"#, #""records": 6"#, .badPartitionFile),
            (#""records": 5"#, #""records": 1099511627776"#, .badPartitionFile),
        ] as [(String, String, DataError.Kind)])
    func manifestsAreChecked(old: String, new: String, kind: DataError.Kind) throws {
        let error = error(try write { $0.replacing(old, with: new) })
        #expect(error?.kind == kind, "\(error?.description ?? "no error")")
    }

    @Test func labelsAreNoTargets() throws {
        let error = error(try write(dataType: "labels"))
        #expect(error?.kind == .badPartitionFile && error?.what == "tensor 'targets'")
        #expect(error?.description.contains("\n") == false)
    }

    /// The fingerprint tells targets from classes.
    @Test func fingerprints() throws {
        let description = try open(write()).description
        #expect(try open(write()).description == description)
        let other = try open(write { $0.replacing(#""targets": 3"#, with: #""targets": 4"#) })
        #expect(other.description.fingerprint != description.fingerprint)
    }

    /// For any bytes, reading returns or throws; it never traps.
    @Test func damagedDirectoriesOnlyThrow() throws {
        var random = RandomStream(seed: 17, purpose: .simulation)
        let directory = try write()
        for name in ["manifest.json", "part-3.safetensors"] {
            let original = try directory.read(name)
            for _ in 0..<500 {
                try directory.write(mutated(original, &random), name)
                _ = dataError { try DataSource.describe(.partitions(directory: directory.path)) }
                _ = dataError { try PartitionVerifier.verify(directory: directory.path) }
                _ = dataError {
                    let dataSet = try DataSet.open(
                        .partitions(directory: directory.path), partitionCount: 1)
                    let batch = Microbatch(
                        capacity: 1, shape: dataSet.description.shape,
                        targetCount: dataSet.description.targetCount)
                    try batch.load(from: dataSet, .test, records: [0])
                }
            }
            try directory.write(original, name)
        }
    }
}
