import CounterRandom
import Partitions
import TestSupport
import Testing

@Suite struct CIFARSourceTests {
    private func directory(inner: String = "") throws -> TemporaryDirectory {
        let directory = try TemporaryDirectory()
        // File 10 comes after file 2 by number, though not by spelling.
        try directory.write(cifarBatch(count: 70, salt: 1), inner + "data_batch_1.bin")
        try directory.write(cifarBatch(count: 3, salt: 10), inner + "data_batch_10.bin")
        try directory.write(cifarBatch(count: 9, salt: 2), inner + "data_batch_2.bin")
        try directory.write(cifarBatch(count: 4, salt: 5), inner + "test_batch.bin")
        try directory.write([1], inner + "readme.html")
        return directory
    }

    @Test(arguments: ["", "cifar-10-batches-bin/"])
    func batchesAreReadInOrder(inner: String) throws {
        let directory = try directory(inner: inner)
        let specification = DataSpecification.cifar10(directory: directory.path)
        let dataSet = try DataSet.open(specification, partitionCount: 4)
        #expect(try DataSource.describe(specification) == dataSet.description)
        #expect(dataSet.description.shape == [3, 32, 32])
        #expect(dataSet.description.classCount == 10)
        #expect(dataSet.description.trainingCount == 82)
        #expect(dataSet.description.testCount == 4)
        let records = [(1, 70), (2, 9), (10, 3)].flatMap { salt, count in
            (0..<count).map { (salt: salt, record: $0) }
        }
        let (images, labels) = try dataSet.gather(.training, records: Array(0..<82))
        for (index, place) in records.enumerated() {
            let bytes = cifarBatch(count: place.record + 1, salt: place.salt).suffix(3073)
            #expect(labels[index] == Int32(bytes.first!))
            #expect(
                Array(images[index * 3072..<(index + 1) * 3072])
                    == bytes.dropFirst().map { Float($0) / 255 })
        }
        let root = "\(directory.path)/\(inner)"
        #expect(
            dataSet.partitions[3].lineage.steps.dropFirst() == [
                .records(file: root + "data_batch_1.bin", range: 62..<70),
                .records(file: root + "data_batch_2.bin", range: 0..<9),
                .records(file: root + "data_batch_10.bin", range: 0..<3),
            ])
    }

    @Test func labelsOutOfRangeNameRecordAndLabel() throws {
        let directory = try directory()
        var batch = cifarBatch(count: 9, salt: 2)
        batch[3073 * 6] = 10
        try directory.write(batch, "data_batch_2.bin")
        let error = dataError { try DataSource.describe(.cifar10(directory: directory.path)) }
        #expect(error?.kind == .labelOutOfRange)
        #expect(error?.file.hasSuffix("data_batch_2.bin") == true)
        #expect(error?.what == "label of record 6")
        #expect(error?.found == "10")
    }

    @Test func wrongSizesAndMissingFilesAreNamed() throws {
        func kind(_ name: String, _ bytes: [UInt8]) throws -> DataError.Kind? {
            let directory = try directory()
            try directory.write(bytes, name)
            let specification = DataSpecification.cifar10(directory: directory.path)
            #expect(
                dataError { try DataSource.describe(specification) }
                    == dataError { try DataSet.open(specification, partitionCount: 1) })
            return dataError { try DataSource.describe(specification) }?.kind
        }
        #expect(try kind("test_batch.bin", cifarBatch(count: 2, salt: 1) + [0]) == .sizeMismatch)
        #expect(
            try kind("test_batch.bin", cifarBatch(count: 2, salt: 1).dropLast()) == .sizeMismatch)
        #expect(try kind("data_batch_1.bin", []) == .emptySet)
        #expect(
            try kind("data_batch_1.bin", gzipped(cifarBatch(count: 2, salt: 1))) == .sizeMismatch)
        #expect(try kind("data_batch_x.bin", []) == nil)
        let empty = try TemporaryDirectory()
        #expect(
            dataError { try DataSource.describe(.cifar10(directory: empty.path)) }?.kind
                == .unreadable)
        #expect(
            dataError { try DataSource.describe(.cifar10(directory: "/no such place")) }?.kind
                == .unreadable)
    }

    @Test func damagedFilesOnlyThrow() throws {
        var random = RandomStream(seed: 12, purpose: .simulation)
        let directory = try directory()
        let original = cifarBatch(count: 4, salt: 5)
        for _ in 0..<200 {
            try directory.write(mutated(original, &random), "test_batch.bin")
            _ = dataError { try DataSource.describe(.cifar10(directory: directory.path)) }
        }
    }
}
