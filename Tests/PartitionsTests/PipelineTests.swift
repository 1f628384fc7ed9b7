import Checksums
import CounterRandom
import Partitions
import TestSupport
import Testing

/// Lists of transformations: order of reading, places, mixing, shapes, and what is refused.
@Suite struct PipelineTests {
    private let key = AugmentationKey(seed: 5, epoch: 2)

    /// All kinds that leave records apart, those of bytes before those of floats.
    private static func everything() throws -> [Transformation] {
        [
            try made("random-resized-crop", ["size": .size(height: 8, width: 8)]),
            .randomCrop(padding: 2), .randomHorizontalFlip, try made("alternating-flip"),
            try made("random-vertical-flip"), try made("brightness", ["factor": .range(0.6, 1.4)]),
            try made("contrast", ["factor": .range(0.6, 1.4)]),
            try made("saturation", ["factor": .range(0.6, 1.4)]),
            try made("cutout", ["size": .whole(3)]),
            try made("resize", ["size": .size(height: 9, width: 10)]),
            try made("center-crop", ["size": .size(height: 7, width: 8)]),
            try made(
                "normalize", ["mean": .floats([0.5, 0.4, 0.3]), "std": .floats([0.2, 0.2, 0.3])]),
            try made("shift", ["max": .whole(2)]),
            try made("channel-drop", ["probability": .number(0.2)]),
            try made("scaling", ["sigma": .number(0.1)]),
            try made("jitter", ["sigma": .number(0.05)]),
        ]
    }

    /// The list with entries that mix records in its middle.
    private static func everythingMixed() throws -> [Transformation] {
        var list = try everything()
        list.insert(
            contentsOf: [try made("mixup", ["alpha": .number(0.4)]), try made("cutmix")], at: 9)
        return list
    }

    @Test func theOrderAndTheCutOfReadingChangeNothing() throws {
        let (directory, dataSet) = try StoredSample().open()
        let changed = try dataSet.transformed(by: Self.everything())
        #expect(changed.description.shape == [3, 7, 8])
        let size = 3 * 7 * 8
        let all = Array(0..<23)
        let images = try changed.gather(.training, records: all, augmentation: key).images
        #expect(try changed.gather(.training, records: all, augmentation: key).images == images)
        let backwards = try changed.gather(
            .training, records: all.reversed(), augmentation: key
        ).images
        for record in all {
            let expected = Array(images[record * size..<(record + 1) * size])
            #expect(Array(backwards[(22 - record) * size..<(23 - record) * size]) == expected)
            let alone = try changed.gather(.training, records: [record], augmentation: key).images
            #expect(alone == expected)
        }
        // Adding the entries one after the other makes the same list.
        let steps = try Self.everything().reduce(dataSet) { try $0.transformed(by: [$1]) }
        #expect(try steps.gather(.training, records: all, augmentation: key).images == images)
        for other in [AugmentationKey(seed: 6, epoch: 2), AugmentationKey(seed: 5, epoch: 3)] {
            #expect(
                try changed.gather(.training, records: all, augmentation: other).images != images)
        }
        _ = directory
    }

    /// The numbers of an entry do not depend on what stands before it, only on its place.
    @Test func randomNumbersBelongToThePlace() throws {
        let (directory, dataSet) = try StoredSample().open()
        let all = Array(0..<23)
        func images(_ list: [Transformation]) throws -> [Float] {
            try dataSet.transformed(by: list).gather(
                .training, records: all, augmentation: key
            ).images
        }
        let crop = Transformation.randomCrop(padding: 3)
        let nothing = try made("cutout", ["size": .whole(1)])
        let still = try made("brightness", ["factor": .range(1, 1)])
        #expect(
            try images([still, crop]) == images([try made("jitter", ["sigma": .number(0)]), crop]))
        #expect(try images([crop, still]) == images([crop]))
        #expect(try images([still, crop]) != images([crop]))
        #expect(try images([crop, nothing]) != images([crop]))
        _ = directory
    }

    /// The hash of an epoch's inputs, as 1, 2, 3 and 5 workers read them.
    @Test(.timeLimit(.minutes(1))) func anEpochIsOneForAnyNumberOfWorkers() throws {
        let (directory, dataSet) = try StoredSample(counts: [61, 80, 62]).open()
        let changed = try dataSet.transformed(by: Self.everythingMixed())
        let plan = try BatchPlan(
            partitionRecordCounts: changed.partitionRecordCounts, batchSize: 40,
            virtualWorkerCount: 8, seed: 7)
        var digests: Set<String> = []
        for workerCount in [1, 2, 3, 5] {
            // What each virtual worker reads in each step, in the order of steps and then of them.
            var inputs: [[UInt8]] = Array(repeating: [], count: 2 * plan.stepsPerEpoch * 8)
            for worker in 0..<workerCount {
                let loader = MicrobatchLoader(dataSet: changed, plan: plan, bufferCount: 3)
                defer { loader.stop() }
                let share = Array(stride(from: worker, to: 8, by: workerCount))
                for step in 0..<2 * plan.stepsPerEpoch {
                    loader.prefetch(step: step + 1, virtualWorkers: share)
                    for virtualWorker in worker % 2 == 0 ? share : share.reversed() {
                        let batch = try loader.take(step: step, virtualWorker: virtualWorker)
                        inputs[step * 8 + virtualWorker] = Self.contents(batch)
                        loader.recycle(batch)
                    }
                }
            }
            digests.insert(hexadecimal(SHA256.hash(data: inputs.flatMap { $0 })))
        }
        #expect(digests.count == 1)
        _ = directory
    }

    /// Everything that a microbatch holds.
    private static func contents(_ batch: Microbatch) -> [UInt8] {
        let size = batch.shape.reduce(1, *)
        func bytes<Element>(_ pointer: UnsafeMutablePointer<Element>, _ count: Int) -> [UInt8] {
            Array(UnsafeRawBufferPointer(UnsafeBufferPointer(start: pointer, count: count)))
        }
        #expect(batch.isMixed)
        return bytes(batch.images, batch.count * size) + bytes(batch.labels, batch.count)
            + bytes(batch.secondLabels, batch.count) + bytes(batch.labelWeights, batch.count)
            + bytes(batch.records, batch.count)
    }

    // MARK: Mixing

    /// A microbatch with every record of the sample, in some order.
    private func mixed(
        _ list: [Transformation], bytes: Bool, records: [Int], key: AugmentationKey
    ) throws -> (Microbatch, StoredSample, TemporaryDirectory) {
        let sample = StoredSample(isBytes: bytes)
        let (directory, dataSet) = try sample.open()
        let changed = try dataSet.transformed(by: list)
        let batch = Microbatch(capacity: records.count, shape: changed.description.shape)
        try batch.load(
            from: changed, .training, records: records.map(UInt64.init), augmentation: key)
        return (batch, sample, directory)
    }

    @Test(arguments: [true, false])
    func mixup(bytes: Bool) throws {
        let records = Array((0..<23).reversed()).filter { $0 % 5 != 0 }
        let sorted = records.sorted()
        let (batch, sample, directory) = try mixed(
            [try made("mixup", ["alpha": .number(0.7)])], bytes: bytes, records: records, key: key)
        #expect(batch.isMixed)
        let size = sample.elementCount
        var mixedCount = 0
        for (position, record) in records.enumerated() {
            var random = stream(key, record)
            _ = random.nextUniform()
            let partner = sorted[random.next(below: sorted.count)]
            let weight = batch.labelWeights[position]
            #expect(batch.labels[position] == sample.label(record))
            #expect(batch.secondLabels[position] == sample.label(partner))
            #expect((0...1).contains(weight) && weight * 65536 == (weight * 65536).rounded())
            if partner == record { #expect(weight == 1) }
            if weight != 1 { mixedCount += 1 }
            for place in 0..<size {
                let found = batch.images[position * size + place]
                if bytes {
                    let w = Int(weight * 65536)
                    let (a, b) = (Int(sample.byte(record, place)), Int(sample.byte(partner, place)))
                    #expect(found == Float((w * a + (65536 - w) * b + 32768) >> 16) / 255)
                } else {
                    let (a, b) = (sample.float(record, place), sample.float(partner, place))
                    #expect(found == weight * a + (1 - weight) * b)
                }
            }
        }
        #expect(mixedCount > 10)
        _ = directory
    }

    /// The box is one rectangle, and the labels count by its area.
    @Test(arguments: [true, false])
    func cutmix(bytes: Bool) throws {
        let records = Array(0..<23)
        for epoch in 0..<5 {
            let key = AugmentationKey(seed: 8, epoch: epoch)
            let (batch, sample, directory) = try mixed(
                [try made("cutmix")], bytes: bytes, records: records, key: key)
            for record in records {
                var random = stream(key, record)
                _ = random.nextUniform()
                let partner = random.next(below: 23)
                #expect(batch.secondLabels[record] == sample.label(partner))
                let (own, other) = (sample.floats(record), sample.floats(partner))
                let found = (0..<189).map { batch.images[record * 189 + $0] }
                let fromOther = (0..<63).filter { place in
                    (0..<3).contains { found[$0 * 63 + place] != own[$0 * 63 + place] }
                }
                for place in fromOther {
                    for channel in 0..<3 {
                        #expect(found[channel * 63 + place] == other[channel * 63 + place])
                    }
                }
                // Pixels may be equal by chance in all three channels, but hardly ever are.
                let area = Double(1 - batch.labelWeights[record]) * 63
                if partner != record {
                    #expect(abs(area - Double(fromOther.count)) < 1e-4)
                    let rows = Set(fromOther.map { $0 / 9 }).count
                    let columns = Set(fromOther.map { $0 % 9 }).count
                    #expect(rows * columns == fromOther.count)
                }
            }
            _ = directory
        }
    }

    /// The weights follow Beta(alpha, alpha): mean 1/2 and variance 1 / (4 (2 alpha + 1)).
    @Test(arguments: [0.01, 0.2, 1, 4])
    func weightsFollowBeta(alpha: Double) throws {
        let sample = StoredSample(shape: [1, 1, 1], counts: [3000], classCount: 4)
        let (directory, dataSet) = try sample.open()
        let changed = try dataSet.transformed(by: [made("mixup", ["alpha": .number(alpha)])])
        let batch = Microbatch(capacity: 3000, shape: [1, 1, 1])
        try batch.load(from: changed, .training, records: 0..<3000, augmentation: key)
        let weights = (0..<3000).map { Double(batch.labelWeights[$0]) }
        let mean = weights.reduce(0, +) / 3000
        let variance = weights.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 3000
        #expect(abs(mean - 0.5) < 0.035)
        #expect(abs(variance * 4 * (2 * alpha + 1) - 1) < 0.1)
        _ = directory
    }

    /// Side by side, each record takes one of the two; with probability 0 none is mixed.
    @Test func oneOfTwo() throws {
        let records = Array(0..<23)
        let whole = ["alpha": TransformationValue.number(100)]
        let (both, sample, directory) = try mixed(
            [try made("mixup", whole), try made("cutmix")], bytes: true, records: records, key: key)
        let (first, _, second) = try mixed(
            [try made("mixup", whole)], bytes: true, records: records, key: key)
        var cutCount = 0
        for record in records {
            let found = (0..<189).map { both.images[record * 189 + $0] }
            let own = sample.floats(record)
            if found.count(where: { own.contains($0) }) > 150 { cutCount += 1 }
        }
        #expect((4...19).contains(cutCount))
        #expect(first.count == 23)
        let none = ["probability": TransformationValue.number(0)]
        let (unmixed, _, third) = try mixed(
            [try made("mixup", none)], bytes: true, records: records, key: key)
        for record in records {
            #expect(unmixed.labelWeights[record] == 1)
            #expect(unmixed.secondLabels[record] == unmixed.labels[record])
            #expect(
                (0..<189).allSatisfy {
                    unmixed.images[record * 189 + $0] == sample.floats(record)[$0]
                })
        }
        _ = (directory, second, third)
    }

    /// Partners do not depend on the order of the records, only on which ones they are.
    @Test func mixingIsAFunctionOfTheSetOfRecords() throws {
        let records = Array(0..<23)
        let list = try Self.everythingMixed()
        let (forwards, _, first) = try mixed(list, bytes: true, records: records, key: key)
        let (backwards, _, second) = try mixed(
            list, bytes: true, records: records.reversed(), key: key)
        let size = forwards.shape.reduce(1, *)
        for record in records {
            let other = 22 - record
            #expect(forwards.labelWeights[record] == backwards.labelWeights[other])
            #expect(forwards.secondLabels[record] == backwards.secondLabels[other])
            #expect(
                (0..<size).allSatisfy {
                    forwards.images[record * size + $0] == backwards.images[other * size + $0]
                })
        }
        _ = (first, second)
    }

    @Test func testRecordsAreNotMixed() throws {
        let (directory, dataSet) = try StoredSample().open()
        let changed = try dataSet.transformed(by: [made("mixup")])
        let batch = Microbatch(capacity: 8, shape: [3, 7, 9])
        try batch.load(from: changed, .test, records: 0..<5, augmentation: key)
        #expect(!batch.isMixed)
        try batch.load(from: changed, .training, records: 0..<5)
        #expect(!batch.isMixed)
        try batch.load(from: changed, .training, records: 0..<5, augmentation: key)
        #expect(batch.isMixed)
        try batch.load(from: changed, .training, records: 0..<0, augmentation: key)
        #expect(batch.count == 0)
        _ = directory
    }

    // MARK: Refusals

    @Test func listsThatDoNotFit() throws {
        let (first, bytes) = try StoredSample().open()
        let (second, floats) = try StoredSample(isBytes: false).open()
        let normal = Transformation.standardize(mean: [0, 0, 0], deviation: [1, 1, 1])
        let bright = try made("brightness", ["factor": .range(0.5, 1.5)])
        let cases: [(DataSet, [Transformation], String)] = [
            (
                bytes, [normal, bright],
                "brightness: place in the list: expected images of bytes, which it works on, found "
                    + "floats, since standardize; put brightness before standardize"
            ),
            (
                floats, [bright],
                "brightness: place in the list: expected images of bytes, which it works on, found "
                    + "data of floats; leave it out"
            ),
            (
                bytes, [try made("center-crop", ["size": .size(height: 8, width: 9)])],
                "center-crop: size: expected at most [7, 9], the image's, found [8, 9]"
            ),
            (
                bytes,
                [
                    try made("center-crop", ["size": .size(height: 3, width: 3)]),
                    .randomCrop(padding: 4),
                ],
                "random-crop: padding: expected 0 to 3, the image's side, found 4"
            ),
            (
                bytes, [try made("grey", ["channels": .whole(1)]), normal],
                "standardize: means and deviations: expected 1 of each, one a channel, found 3 and 3"
            ),
            (
                bytes,
                [
                    try made("grey", ["channels": .whole(1)]),
                    try made("saturation", ["factor": .range(0, 1)]),
                ],
                "saturation: channels: expected 3, of colours, found 1"
            ),
            (
                bytes, [try made("shift", ["max": .whole(9)])],
                "shift: max: expected below 9, the length of a row, found 9"
            ),
            (
                bytes, [try made("mixup"), .randomHorizontalFlip, try made("cutmix")],
                "cutmix: place in the list: expected all entries that mix records side by side, since "
                    + "a record is mixed once, found others between them; put them one after the other"
            ),
            (
                bytes, Array(repeating: .randomHorizontalFlip, count: 65),
                "transformations: number of transformations: expected at most 64, found 65"
            ),
        ]
        for (dataSet, list, problem) in cases {
            #expect(dataError { try dataSet.transformed(by: list) }?.description == problem)
            let described = dataError { try dataSet.description.transformed(by: list) }
            #expect(described?.description == problem)
        }
        _ = (first, second)
    }

    @Test func namesAndValuesThatAreRefused() {
        #expect(
            dataError { try made("rotate") }?.description.hasPrefix(
                "transformations: name of a transformation: expected one of random-crop, ") == true)
        let cases: [(String, [String: TransformationValue], String)] = [
            (
                "random-crop", [:],
                "random-crop: padding: expected a whole number from 0 to 64, found nothing"
            ),
            ("random-crop", ["padding": .whole(65)], "found 65"),
            ("random-crop", ["padding": .number(1)], "found 1.0"),
            (
                "cutout", ["sides": .whole(3)],
                "cutout: parameter: expected one of size, found sides"
            ),
            ("brightness", ["factor": .range(1, 0.5)], "found [1.0, 0.5]"),
            ("brightness", ["factor": .range(-1, 0.5)], "found [-1.0, 0.5]"),
            ("mixup", ["alpha": .number(.nan)], "found nan"),
            ("mixup", ["alpha": .number(0)], "found 0.0"),
            ("resize", ["size": .size(height: 0, width: 1)], "found [0, 1]"),
            (
                "resize", ["size": .size(height: 1, width: 1), "filter": .word("lanczos")],
                "found lanczos"
            ),
            ("normalize", ["mean": .floats([.infinity]), "std": .floats([1])], "found [inf]"),
            ("normalize", ["mean": .floats([]), "std": .floats([1])], "found []"),
        ]
        for (name, values, problem) in cases {
            let found = dataError { try made(name, values) }
            #expect(found?.kind == .badSetting)
            #expect(
                found?.description.hasSuffix(problem) == true, "\(found?.description ?? "none")")
        }
    }
}
