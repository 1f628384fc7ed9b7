import Partitions
import TestSupport
import Testing

@Suite struct CIFAR100SourceTests {
    private func records(count: Int, salt: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        for record in 0..<count {
            bytes.append(UInt8((record + salt) % 20))
            bytes.append(UInt8((record * 7 + salt) % 100))
            for place in 0..<3072 {
                bytes.append(UInt8(truncatingIfNeeded: place &* 13 &+ record &* 101 &+ salt))
            }
        }
        return bytes
    }

    private func directory(inner: String = "") throws -> TemporaryDirectory {
        let directory = try TemporaryDirectory()
        try directory.write(records(count: 70, salt: 1), inner + "train.bin")
        try directory.write(records(count: 5, salt: 2), inner + "test.bin")
        return directory
    }

    @Test(arguments: ["", "cifar-100-binary/"], [false, true])
    func recordsAreRead(inner: String, isCoarse: Bool) throws {
        let directory = try directory(inner: inner)
        let source = try ScannedSource("cifar100:\(directory.path)") {
            $0.labels.isCoarse = isCoarse
        }
        #expect(source.scan.shape == [3, 32, 32])
        #expect(source.scan.classCount == (isCoarse ? 20 : 100))
        #expect(source.scan.classNames?[7] == (isCoarse ? "insects" : "beetle"))
        #expect(source.scan.training.count == 70 && source.scan.test.count == 5)
        let bytes = records(count: 70, salt: 1)
        for record in 0..<70 {
            let start = record * 3074
            #expect(source.scan.training.labels[record] == Int32(bytes[start + (isCoarse ? 0 : 1)]))
            #expect(try source.bytes(record) == Array(bytes[start + 2..<start + 3074]))
        }
    }

    @Test func testRecordsMayBeMissing() throws {
        let directory = try TemporaryDirectory()
        try directory.write(records(count: 3, salt: 1), "train.bin")
        #expect(try ScannedSource("cifar100:\(directory.path)").scan.test.count == 0)
    }

    @Test func otherSourcesHaveNoCoarseLabels() throws {
        var options = SourceOptions()
        options.labels.isCoarse = true
        let specification = try DataSpecification("cifar10:/nowhere", options: options)
        let error = dataError { try DataSource.describe(specification) }
        #expect(error?.kind == .badSetting && error?.file == "data.labels.coarse")
    }

    @Test func flawsAreNamed() throws {
        let directory = try directory()
        var bytes = records(count: 5, salt: 2)
        bytes[3074 * 2 + 1] = 100
        try directory.write(bytes, "test.bin")
        let label = dataError { try ScannedSource("cifar100:\(directory.path)") }
        #expect(label?.kind == .labelOutOfRange && label?.what == "label of record 2")
        try directory.write(Array(bytes.dropLast()), "test.bin")
        let size = dataError { try ScannedSource("cifar100:\(directory.path)") }
        #expect(size?.kind == .sizeMismatch && size?.expected == "a multiple of 3074 bytes")
        let missing = dataError { try ScannedSource("cifar100:\(directory.path)/none") }
        #expect(missing?.kind == .unreadable)
    }
}
