import CounterRandom
import Partitions
import TestSupport
import Testing

@Suite struct TransformationTests {
    private let directory: TemporaryDirectory
    private let dataSet: DataSet
    private let raw: [Float]
    private let key = AugmentationKey(seed: 9, epoch: 2)
    private let all = Array(0..<23)

    init() throws {
        (directory, dataSet) = try IDXSample().open()
        raw = try dataSet.gather(.training, records: all).images
    }

    private func image(_ images: [Float], _ record: Int) -> [[Float]] {
        (0..<3).map { row in Array(images[record * 15 + row * 5..<record * 15 + row * 5 + 5]) }
    }

    @Test func standardizingAppliesToBothSplits() throws {
        let changed = try dataSet.transformed(by: [.standardize(mean: [0.25], deviation: [0.5])])
        #expect(try changed.gather(.training, records: all).images == raw.map { ($0 - 0.25) / 0.5 })
        let test = try dataSet.gather(.test, records: [3]).images
        #expect(try changed.gather(.test, records: [3]).images == test.map { ($0 - 0.25) / 0.5 })
    }

    @Test func flippingMirrorsWhatTheStreamSays() throws {
        let changed = try dataSet.transformed(by: [.randomHorizontalFlip])
        let images = try changed.gather(.training, records: all, augmentation: key).images
        var flipped = 0
        for record in all {
            var random = RandomStream(seed: 9, purpose: .augmentation, 2, UInt64(record))
            let isFlipped = random.next32() & 1 == 1
            let old = image(raw, record)
            #expect(image(images, record) == (isFlipped ? old.map { $0.reversed() } : old))
            flipped += isFlipped ? 1 : 0
        }
        #expect((4..<20).contains(flipped))
    }

    @Test(arguments: [0, 1, 2, 3])
    func croppingMovesTheImage(padding: Int) throws {
        let changed = try dataSet.transformed(by: [.randomCrop(padding: padding)])
        let images = try changed.gather(.training, records: all, augmentation: key).images
        for record in all {
            var random = RandomStream(seed: 9, purpose: .augmentation, 2, UInt64(record))
            let down = random.next(below: 2 * padding + 1) - padding
            let right = random.next(below: 2 * padding + 1) - padding
            let old = image(raw, record)
            let expected: [[Float]] = (0..<3).map { y in
                (0..<5).map { x in
                    let inside = (0..<3).contains(y + down) && (0..<5).contains(x + right)
                    return inside ? old[y + down][x + right] : 0
                }
            }
            #expect(
                image(images, record) == expected, "record \(record), down \(down), right \(right)")
        }
    }

    @Test func randomnessBelongsToTheRecordAndTheEpoch() throws {
        let changed = try dataSet.transformed(by: [.randomCrop(padding: 2), .randomHorizontalFlip])
        let once = try changed.gather(.training, records: all, augmentation: key).images
        let backwards = try changed.gather(.training, records: all.reversed(), augmentation: key)
            .images
        for record in all { #expect(image(once, record) == image(backwards, 22 - record)) }
        let next = AugmentationKey(seed: 9, epoch: 3)
        #expect(try changed.gather(.training, records: all, augmentation: next).images != once)
        #expect(try changed.gather(.training, records: all).images == raw)
        let test = try dataSet.gather(.test, records: [1]).images
        #expect(try changed.gather(.test, records: [1], augmentation: key).images == test)
    }

    @Test func lineageAndFingerprintTellOfThem() throws {
        let steps: [Transformation] = [
            .randomHorizontalFlip, .standardize(mean: [0.5], deviation: [0.1]),
        ]
        let changed = try dataSet.transformed(by: [steps[0]]).transformed(by: [steps[1]])
        #expect(changed.transformations == steps)
        #expect(
            changed.partitions[1].lineage.steps
                == dataSet.partitions[1].lineage.steps + steps.map { .transformation($0) })
        #expect(changed.description.fingerprint != dataSet.description.fingerprint)
        let again = try dataSet.description.transformed(by: [steps[0]]).transformed(by: [steps[1]])
        #expect(again == changed.description)
        #expect(
            try dataSet.transformed(by: [steps[1]]).description.fingerprint
                != changed.description.fingerprint)
    }

    @Test(
        arguments: [
            .standardize(mean: [0, 0], deviation: [1, 1]), .standardize(mean: [0], deviation: [0]),
            .standardize(mean: [.nan], deviation: [1]), .randomCrop(padding: -1),
            .randomCrop(padding: 4),
        ] as [Transformation])
    func onesThatDoNotFitAreRefused(transformation: Transformation) {
        #expect(dataError { try dataSet.transformed(by: [transformation]) }?.kind == .badSetting)
    }
}
