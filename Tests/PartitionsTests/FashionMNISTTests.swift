import Partitions
import Testing

@Suite struct FashionMNISTTests {
    @Test func theInstalledSetIsWhole() throws {
        let clock = ContinuousClock()
        var description: DataSetDescription?
        let describing = try clock.measure { description = try DataSource.describe(.fashionMNIST) }
        var dataSet: DataSet!
        let opening = try clock.measure {
            dataSet = try DataSet.open(.fashionMNIST, partitionCount: 8)
        }
        #expect(description == dataSet.description)
        #expect(description?.name == "fashion-mnist")
        #expect(description?.shape == [1, 28, 28])
        #expect(description?.classCount == 10)
        #expect(description?.trainingCount == 60_000)
        #expect(description?.testCount == 10_000)
        for (split, count) in [(DataSplit.training, 60_000), (.test, 10_000)] {
            var histogram = [Int](repeating: 0, count: 10)
            for label in try dataSet.stored(split, range: 0..<count).labels {
                histogram[Int(label)] += 1
            }
            #expect(histogram == [Int](repeating: count / 10, count: 10))
        }
        #expect(dataSet.partitionRecordCounts == [Int](repeating: 7500, count: 8))

        let batch = Microbatch(capacity: 16, shape: [1, 28, 28])
        let records = (0..<16).map { UInt64($0 * 3571 % 60_000) }
        let gathering = try clock.measure {
            for _ in 0..<1000 { try batch.load(from: dataSet, .training, records: records) }
        }
        print("describe \(describing), open \(opening), gather of 16 \(gathering / 1000)")
        // Generous bounds: they only catch a wrong order of magnitude, even on a busy machine.
        #expect(describing < .seconds(10))
        #expect(opening < .seconds(10))
        #expect(gathering / 1000 < .milliseconds(2))
    }
}
