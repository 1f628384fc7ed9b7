import Checksums
import CounterRandom
import FoundationEssentials
import Partitions
import SafeTensors
import TestSupport
import Testing

@Suite struct PartitionDirectoryTests {
    private func written(
        partitionCount: Int = 4
    ) throws -> (
        directory: TemporaryDirectory, source: DataSet, sourceDirectory: TemporaryDirectory
    ) {
        let (sourceDirectory, source) = try IDXSample().open()
        let directory = try TemporaryDirectory()
        try PartitionWriter.write(source, partitionCount: partitionCount, directory: directory.path)
        return (directory, source, sourceDirectory)
    }

    private func sha256(_ bytes: [UInt8]) -> String {
        SHA256.hash(data: bytes).map { byte in
            (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }.joined()
    }

    /// Returns a directory as a Python script would write it: F32 images, and another order of keys
    /// and tensors.
    private func byHand(
        labels: [Int32] = [2, 0, 1], file: String = "part-0.safetensors",
        manifest change: (String) -> String = { $0 }
    ) throws -> (TemporaryDirectory, [Float]) {
        let directory = try TemporaryDirectory()
        let floats = (0..<labels.count * 8).map { Float($0) * 0.37 - 3 }
        let bytes = try SafeTensorsFile.encode(
            tensors: [
                SafeTensor(name: "images", shape: [labels.count, 2, 2, 2], floats: floats),
                SafeTensor(name: "labels", shape: [labels.count], int32s: labels),
            ], metadata: ["from": "python"])
        try directory.write(bytes, "part-0.safetensors")
        try directory.write(bytes, "deep/er/part-0.safetensors")
        let entry = """
            {"sha256": "\(sha256(bytes))", "file": "\(file)", "records": 3, "histogram": [1, 1, 1]}
            """
        let manifest = """
            {"version": 1, "format": "convoy-partitions", "name": "hand", "classes": 3,
             "dtype": "F32", "shape": [2, 2, 2], "training": [\(entry), \(entry)],
             "test": [\(entry)], "note": {"x": [1]}}
            """
        try directory.write(Array(change(manifest).utf8), "manifest.json")
        return (directory, floats)
    }

    private func error(_ directory: TemporaryDirectory) -> DataError? {
        let described = dataError {
            try DataSource.describe(.partitions(directory: directory.path))
        }
        let verified = dataError { try PartitionVerifier.verify(directory: directory.path) }
        #expect((described == nil && verified != nil) || described?.kind == verified?.kind)
        return verified
    }

    @Test(arguments: [1, 4, 23])
    func theSameRecordsComeBack(partitionCount: Int) throws {
        let (directory, source, sourceDirectory) = try written(partitionCount: partitionCount)
        defer { withExtendedLifetime(sourceDirectory) {} }
        let specification = DataSpecification.partitions(directory: directory.path)
        let copy = try DataSet.open(specification, partitionCount: 99)
        #expect(copy.partitions.count == partitionCount)
        #expect(copy.partitions.last?.recordRange.upperBound == 23)
        #expect(try DataSource.describe(specification) == copy.description)
        var expected = source.description
        expected.fingerprint = copy.description.fingerprint
        #expect(copy.description == expected)
        for (split, count) in [(DataSplit.training, 23), (.test, 7)] {
            let records = (0..<count).map { $0 * 5 % count }
            #expect(
                try copy.gather(split, records: records) == source.gather(split, records: records))
            #expect(
                try copy.stored(split, range: 1..<count) == source.stored(split, range: 1..<count))
        }
        let report = try PartitionVerifier.verify(directory: directory.path)
        #expect(report.description == copy.description)
        #expect(report.partitionCount == partitionCount + (partitionCount * 7 + 22) / 23)
    }

    @Test func aCopyOfACopyHasTheSameBytes() throws {
        let (directory, _, _) = try written()
        let again = try TemporaryDirectory()
        let copy = try DataSet.open(.partitions(directory: directory.path), partitionCount: 1)
        try PartitionWriter.write(copy, partitionCount: 4, directory: again.path)
        for name in ["manifest.json", "training-00003.safetensors", "test-00001.safetensors"] {
            #expect(try directory.read(name) == again.read(name))
        }
        let names = try FileManager.default.contentsOfDirectory(atPath: again.path)
        #expect(names.count == 7 && !names.contains { $0.hasSuffix(".tmp") })
    }

    @Test func writingRefusesWhatItWouldSpoil() throws {
        let (directory, source, _) = try written()
        func kind(_ dataSet: DataSet, _ count: Int, _ path: String) -> DataError.Kind? {
            dataError {
                try PartitionWriter.write(dataSet, partitionCount: count, directory: path)
            }?.kind
        }
        #expect(kind(source, 2, directory.path) == .unwritable)
        #expect(kind(source, 2, directory.path + "/manifest.json") == .unwritable)
        #expect(kind(source, 0, directory.path + "/new") == .badSetting)
        #expect(kind(source, 24, directory.path + "/new") == .badSetting)
        let changed = try source.transformed(by: [.randomHorizontalFlip])
        #expect(kind(changed, 2, directory.path + "/new") == .badSetting)
        #expect(kind(source, 2, directory.path + "/a/new/one") == nil)
    }

    @Test(arguments: ["part-0.safetensors", "deep/er/part-0.safetensors"])
    func manifestsWrittenByHandAreRead(file: String) throws {
        let (directory, floats) = try byHand(file: file)
        #expect(error(directory) == nil)
        let dataSet = try DataSet.open(.partitions(directory: directory.path), partitionCount: 1)
        #expect(dataSet.description.elementType == .F32)
        #expect(dataSet.description.classCount == 3)
        #expect(dataSet.partitionRecordCounts == [3, 3])
        let (images, labels) = try dataSet.gather(.training, records: [5, 0])
        #expect(images == Array(floats[16..<24] + floats[0..<8]))
        #expect(labels == [1, 2])
    }

    @Test(arguments: [
        "../part-0.safetensors", "/etc/passwd", "deep/../part-0.safetensors", "", ".", "..",
        "deep//er/part-0.safetensors", "./part-0.safetensors", "link/x",
    ])
    func pathsThatLeadOutAreRefused(file: String) throws {
        let outside = try TemporaryDirectory()
        try outside.write([1], "x")
        let (directory, _) = try byHand(file: file)
        try FileManager.default.createSymbolicLink(
            atPath: directory.path + "/link", withDestinationPath: outside.path)
        #expect(error(directory)?.kind == .forbiddenPath)
    }

    @Test func linksInsideAreFollowed() throws {
        let (directory, _) = try byHand(file: "alias/part-0.safetensors")
        try FileManager.default.createSymbolicLink(
            atPath: directory.path + "/alias", withDestinationPath: "deep/er")
        #expect(error(directory) == nil)
    }

    @Test(
        arguments: [
            (#""classes": 3"#, #""classes": 4"#, .badManifest),
            (#""classes": 3"#, #""classes": 0"#, .badManifest),
            (#""version": 1"#, #""version": 2"#, .badManifest),
            (#""format": "convoy-partitions""#, #""format": "other""#, .badManifest),
            (#""dtype": "F32""#, #""dtype": "F64""#, .badManifest),
            (#""dtype": "F32""#, #""dtype": "U8""#, .badPartitionFile),
            (#""shape": [2, 2, 2]"#, #""shape": [2, 2]"#, .badManifest),
            (#""shape": [2, 2, 2]"#, #""shape": [2, 0, 2]"#, .badManifest),
            (#""shape": [2, 2, 2]"#, #""shape": [4, 2, 1]"#, .badPartitionFile),
            (#""name": "hand", "#, "", .badManifest),
            (#""records": 3"#, #""records": 2"#, .badManifest),
            (#""records": 3"#, #""records": -3"#, .badManifest),
            (#""records": 3"#, #""records": 1e300"#, .badManifest),
            (#""histogram": [1, 1, 1]"#, #""histogram": [2, 1, 0]"#, .badPartitionFile),
            (
                #""histogram": [1, 1, 1]"#, #""histogram": [9223372036854775807, 1, 1]"#,
                .badManifest
            ),
            (#""sha256": ""#, #""sha256": "0"#, .badManifest),
            (#"{"version""#, #"["version""#, .badManifest),
        ] as [(String, String, DataError.Kind)])
    func manifestsAreChecked(old: String, new: String, kind: DataError.Kind) throws {
        let (directory, _) = try byHand { $0.replacing(old, with: new) }
        let error = error(directory)
        #expect(error?.kind == kind, "\(error?.description ?? "no error")")
        #expect(error?.description.contains("\n") == false)
    }

    @Test func emptyPartitionsAreFineAndAnEmptyTrainingSplitIsNot() throws {
        let (directory, _) = try byHand { text in
            text.replacing(#""training": [{"#, with: #""training": [], "old": [{"#)
        }
        #expect(error(directory)?.kind == .emptySet)
        // A data set without test records can be trained on.
        let (untested, _) = try byHand { text in
            text.replacing(#""test": [{"#, with: #""test": [], "old": [{"#)
        }
        #expect(error(untested) == nil)
        let (source, _, _) = try written()
        let bytes = try SafeTensorsFile.encode(tensors: [
            SafeTensor(name: "labels", shape: [0], int32s: []),
            SafeTensor(name: "images", dataType: .U8, shape: [0, 1, 3, 5], bytes: []),
        ])
        try source.write(bytes, "none.safetensors")
        let entry =
            #"{"file":"none.safetensors","records":0,"histogram":[0,0,0,0],"#
            + #""sha256":"\#(sha256(bytes))"}"#
        let text = String(decoding: try source.read("manifest.json"), as: UTF8.self)
            .replacing(#""training" : ["#, with: "\"training\" : [\(entry),")
        try source.write(Array(text.utf8), "manifest.json")
        #expect(error(source) == nil)
        let dataSet = try DataSet.open(.partitions(directory: source.path), partitionCount: 1)
        #expect(dataSet.partitionRecordCounts == [0, 6, 6, 6, 5])
        #expect(try dataSet.gather(.training, records: [0]).labels == [1])
    }

    @Test func changedFilesAreFound() throws {
        let (directory, _, _) = try written()
        let name = "training-00001.safetensors"
        let bytes = try directory.read(name)
        func kind(_ bytes: [UInt8]) throws -> DataError.Kind? {
            try directory.write(bytes, name)
            let dataSet = try DataSet.open(
                .partitions(directory: directory.path), partitionCount: 1)
            let opened = dataError { try dataSet.gather(.training, records: [7]) }
            #expect(opened == error(directory))
            // The other partitions stay usable.
            #expect(try dataSet.gather(.training, records: [0]).labels == [1])
            return opened?.kind
        }
        #expect(try kind(bytes) == nil)
        #expect(try kind(bytes.dropLast() + [bytes.last! ^ 1]) == .checksumMismatch)
        #expect(try kind(bytes.dropLast()) == .truncated)
        #expect(try kind(bytes + [0]) == .trailingBytes)
        try FileManager.default.removeItem(atPath: directory.path + "/" + name)
        #expect(error(directory)?.kind == .unreadable)
    }

    @Test func labelsOutOfRangeAreFoundByDescribing() throws {
        let (directory, _) = try byHand(labels: [2, 3, 1])
        let error = dataError { try DataSource.describe(.partitions(directory: directory.path)) }
        #expect(error?.kind == .labelOutOfRange)
        #expect(error?.what == "label of record 1")
        #expect(error?.found == "3")
    }

    /// Reads do not depend on whether memory holds none, one or some of the partitions, on several
    /// threads.
    @Test(arguments: [0, 400, 700, 1 << 20])
    func theMemoryBoundChangesNoRecord(memoryLimitByteCount: Int) async throws {
        let (directory, source, _) = try written(partitionCount: 5)
        let copy = try DataSet.open(
            .partitions(directory: directory.path), partitionCount: 1,
            memoryLimitByteCount: memoryLimitByteCount)
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for task in 0..<4 {
                group.addTask {
                    var random = RandomStream(seed: UInt64(task), purpose: .simulation)
                    for _ in 0..<2000 {
                        let records = (0..<4).map { _ in random.next(below: 23) }
                        guard
                            try copy.gather(.training, records: records)
                                == source.gather(.training, records: records)
                        else { return false }
                    }
                    return true
                }
            }
            for try await isEqual in group { #expect(isEqual) }
        }
    }

    /// For any bytes, reading returns or throws; it never traps.
    @Test func damagedDirectoriesOnlyThrow() throws {
        var random = RandomStream(seed: 13, purpose: .simulation)
        let (directory, _, _) = try written()
        for name in ["manifest.json", "test-00000.safetensors"] {
            let original = try directory.read(name)
            for _ in 0..<1000 {
                try directory.write(mutated(original, &random), name)
                _ = dataError { try DataSource.describe(.partitions(directory: directory.path)) }
                _ = dataError { try PartitionVerifier.verify(directory: directory.path) }
                _ = dataError {
                    try DataSet.open(.partitions(directory: directory.path), partitionCount: 1)
                        .gather(.test, records: [0])
                }
            }
            try directory.write(original, name)
        }
    }
}
