import CounterRandom
import Partitions
import TestSupport
import Testing

/// Each kind of transformations against a plain twin.
@Suite struct TransformationKindTests {
    /// An image as a list of channels of rows.
    private typealias Image = [[[Float]]]
    private typealias Twin = (Image, AugmentationKey, Int) -> Image

    private let key = AugmentationKey(seed: 9, epoch: 3)

    private static func rows(_ elements: some Collection<Float>, _ shape: [Int]) -> Image {
        let elements = Array(elements)
        return (0..<shape[0]).map { c in
            (0..<shape[1]).map { y in
                let start = (c * shape[1] + y) * shape[2]
                return Array(elements[start..<start + shape[2]])
            }
        }
    }

    /// Compares all training records with the twin, and the test records with themselves.
    private func compare(
        _ list: [Transformation], bytes: Bool = true, shape: [Int] = [3, 7, 9], _ twin: Twin
    ) throws {
        let sample = StoredSample(shape: shape, isBytes: bytes)
        let (directory, dataSet) = try sample.open()
        let changed = try dataSet.transformed(by: list)
        let output = changed.description.shape
        let count = output.reduce(1, *)
        let all = Array(0..<sample.recordCount)
        var changedCount = 0
        for epoch in 0..<4 {
            let key = AugmentationKey(seed: 9, epoch: epoch)
            let images = try changed.gather(.training, records: all, augmentation: key).images
            for record in all {
                let old = Self.rows(sample.floats(record), shape)
                let expected = twin(old, key, record)
                let found = Self.rows(images[record * count..<(record + 1) * count], output)
                #expect(found == expected, "epoch \(epoch), record \(record)")
                if found != old { changedCount += 1 }
            }
        }
        #expect(changedCount > 0)
        if list.allSatisfy({ !$0.actsOnTestRecords }) {
            let plain = try dataSet.gather(.test, records: [2, 0])
            let test = try changed.gather(.test, records: [2, 0], augmentation: key)
            #expect(plain.images == test.images && plain.labels == test.labels)
        }
        _ = directory
    }

    @Test(arguments: [true, false])
    func alternatingFlip(bytes: Bool) throws {
        var seen: [Int: Set<Bool>] = [:]
        try compare([made("alternating-flip")], bytes: bytes) { image, key, record in
            var random = stream(key, record, lasting: true)
            let isFlipped = (Int(random.next32() & 1) + key.epoch) % 2 == 1
            seen[record, default: []].insert(isFlipped)
            return isFlipped ? image.map { $0.map { $0.reversed() } } : image
        }
        #expect(seen.values.allSatisfy { $0.count == 2 })
    }

    @Test(arguments: [true, false])
    func flips(bytes: Bool) throws {
        try compare([made("random-vertical-flip")], bytes: bytes) { image, key, record in
            var random = stream(key, record)
            return random.next32() & 1 == 1 ? image.map { $0.reversed() } : image
        }
        // A width that is more than two words of eight bytes, and no multiple of them.
        try compare(
            [made("random-horizontal-flip")], bytes: bytes, shape: [2, 3, 21]
        ) { image, key, record in
            var random = stream(key, record)
            return random.next32() & 1 == 1 ? image.map { $0.map { $0.reversed() } } : image
        }
    }

    @Test(arguments: [true, false])
    func crops(bytes: Bool) throws {
        try compare([.randomCrop(padding: 7)], bytes: bytes) { image, key, record in
            var random = stream(key, record)
            let (down, right) = (random.next(below: 15) - 7, random.next(below: 15) - 7)
            return image.map { plane in
                (0..<7).map { y in
                    (0..<9).map { x in
                        let isInside = (0..<7).contains(y + down) && (0..<9).contains(x + right)
                        return isInside ? plane[y + down][x + right] : 0
                    }
                }
            }
        }
        // The middle of an odd rest begins at an even row, as Python rounds.
        try compare([made("center-crop", ["size": .size(height: 4, width: 4)])], bytes: bytes) {
            image, _, _ in image.map { $0[2..<6].map { Array($0[2..<6]) } }
        }
    }

    @Test(arguments: [true, false])
    func cutout(bytes: Bool) throws {
        for size in [1, 4, 5, 30] {
            try compare([made("cutout", ["size": .whole(size)])], bytes: bytes) {
                image, key, record in
                var random = stream(key, record)
                let top = random.next(below: 7) - size / 2
                let left = random.next(below: 9) - size / 2
                return image.map { plane in
                    (0..<7).map { y in
                        (0..<9).map { x in
                            (top..<top + size).contains(y) && (left..<left + size).contains(x)
                                ? 0 : plane[y][x]
                        }
                    }
                }
            }
        }
    }

    /// Factors are drawn, and an entry's random numbers are those of its place.
    @Test func brightness() throws {
        try compare([
            .randomHorizontalFlip, made("brightness", ["factor": .range(0.5, 2)]),
        ]) { image, key, record in
            var (flip, random) = (stream(key, record), stream(key, record, place: 1))
            let factor = Float(0.5 + (Double(random.next32()) + 0.5) * 0x1p-32 * 1.5)
            let isFlipped = flip.next32() & 1 == 1
            return image.map { plane in
                plane.map { row in
                    (isFlipped ? row.reversed() : row).map {
                        Float(UInt8(min(255, factor * ($0 * 255).rounded()))) / 255
                    }
                }
            }
        }
    }

    @Test func contrastAndSaturation() throws {
        for name in ["contrast", "saturation"] {
            try compare([made(name, ["factor": .range(0, 3)])]) { image, key, record in
                var random = stream(key, record)
                let factor = Float((Double(random.next32()) + 0.5) * 0x1p-32 * 3)
                let bytes: [[[Int]]] = image.map { plane in
                    plane.map { row in row.map { Int(($0 * 255).rounded()) } }
                }
                let grey: [[Int]] = (0..<7).map { y in
                    (0..<9).map { x in
                        let (red, green, blue) = (bytes[0][y][x], bytes[1][y][x], bytes[2][y][x])
                        return (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16
                    }
                }
                let mean = Int(Double(grey.joined().reduce(0, +)) / 63 + 0.5)
                return bytes.map { plane in
                    (0..<7).map { y in
                        (0..<9).map { x in
                            let centre = name == "contrast" ? mean : grey[y][x]
                            let moved = Float(centre) + factor * Float(plane[y][x] - centre)
                            return Float(UInt8(max(0, min(255, moved)))) / 255
                        }
                    }
                }
            }
        }
    }

    @Test func series() throws {
        let shape = [3, 1, 40]
        try compare([made("shift", ["max": .whole(6)])], bytes: false, shape: shape) {
            image, key, record in
            var random = stream(key, record)
            let right = random.next(below: 13) - 6
            return image.map { plane in
                [(0..<40).map { x in plane[0][max(0, min(39, x - right))] }]
            }
        }
        try compare(
            [made("channel-drop", ["probability": .number(0.6)])], bytes: false, shape: shape
        ) {
            image, key, record in
            var random = stream(key, record)
            let isDropped = (0..<3).map { _ in random.nextUniform() < 0.6 }
            if isDropped.allSatisfy({ $0 }) { return image }
            return (0..<3).map { isDropped[$0] ? [[Float](repeating: 0, count: 40)] : image[$0] }
        }
    }

    /// The numbers are normal: their first moments, and their share within one deviation.
    @Test func normalNumbers() throws {
        let sample = StoredSample(shape: [1, 1, 999], isBytes: false)
        let (directory, dataSet) = try sample.open()
        let all = Array(0..<sample.recordCount)
        let old = try dataSet.gather(.training, records: all).images
        let jitter = try dataSet.transformed(by: [made("jitter", ["sigma": .number(0.5)])])
        let new = try jitter.gather(.training, records: all, augmentation: key).images
        let numbers = zip(new, old).map { (Double($0) - Double($1)) / 0.5 }
        let count = Double(numbers.count)
        for (power, expected) in [(1, 0.0), (2, 1), (3, 0), (4, 3)] {
            let moment = numbers.reduce(0) { sum, number in
                sum + (0..<power).reduce(1) { product, _ in product * number }
            }
            #expect(abs(moment / count - expected) < 0.1, "moment \(power)")
        }
        let inner = numbers.count { abs($0) < 1 }
        #expect(abs(Double(inner) / count - 0.6827) < 0.01)
        let scaling = try dataSet.transformed(by: [made("scaling", ["sigma": .number(0.1)])])
        let scaled = try scaling.gather(.training, records: all, augmentation: key).images
        for record in all {
            let place = record * 999 + 1
            let factor = scaled[place] / old[place]
            #expect(factor != 1 && abs(factor - 1) < 0.5)
            for place in record * 999..<(record + 1) * 999 {
                #expect(abs(scaled[place] - factor * old[place]) <= 1e-6 * abs(scaled[place]))
            }
        }
        _ = directory
    }

    /// The box and its resizing: a box of the drawn place equals what `resize` makes of it.
    @Test func randomResizedCrop() throws {
        let values: [String: TransformationValue] = [
            "size": .size(height: 6, width: 5), "scale": .range(0.2, 0.9), "ratio": .range(0.5, 2),
            "filter": .word("bicubic"),
        ]
        var boxes: Set<[Int]> = []
        try compare([made("random-resized-crop", values)], shape: [2, 12, 14]) {
            image, key, record in
            var random = stream(key, record)
            func uniform() -> Double { (Double(random.next32()) + 0.5) * 0x1p-32 }
            var box: [Int]?
            for _ in 0..<10 where box == nil {
                let area = 168 * (0.2 + uniform() * (0.9 - 0.2))
                let ratio = power(2, 2 * uniform() - 1)
                let w = Int((area * ratio).squareRoot().rounded(.toNearestOrEven))
                let h = Int((area / ratio).squareRoot().rounded(.toNearestOrEven))
                if w > 14 || h > 12 { continue }
                let top = random.next(below: 12 - h + 1)
                box = [top, random.next(below: 14 - w + 1), h, w]
            }
            let found = box ?? [0, 0, 12, 14]
            boxes.insert(found)
            let (top, left, h, w) = (found[0], found[1], found[2], found[3])
            let bytes = image.flatMap { plane in
                plane[top..<top + h].flatMap { $0[left..<left + w].map { UInt8($0 * 255 + 0.5) } }
            }
            let resize = try! TestPreparation(
                [
                    made(
                        "resize",
                        ["size": .size(height: 6, width: 5), "filter": .word("bicubic")])
                ], shape: [2, h, w])
            return Self.rows(resize.prepared(bytes: bytes), [2, 6, 5])
        }
        #expect(boxes.count > 50)
    }

    /// Test records: the largest middle box of the size's aspect ratio, resized.
    @Test func randomResizedCropOfTestRecords() throws {
        let crop = try made("random-resized-crop", ["size": .size(height: 4, width: 4)])
        let found = try TestPreparation([crop], shape: [1, 8, 13])
        let twin = try TestPreparation(
            [
                made("center-crop", ["size": .size(height: 8, width: 8)]),
                made("resize", ["size": .size(height: 4, width: 4)]),
            ], shape: [1, 8, 13])
        let bytes = (0..<104).map { UInt8($0 * 37 % 256) }
        #expect(found.outputShape == [1, 4, 4])
        #expect(found.prepared(bytes: bytes) == twin.prepared(bytes: bytes))
        let same = try TestPreparation([made("random-resized-crop")], shape: [1, 8, 13])
        #expect(same.prepared(bytes: bytes) == bytes.map { Float($0) / 255 })
        // Pixels from 0 to 1 that came from bytes become the same bytes.
        #expect(found.prepared(bytes.map { Float($0) / 255 }) == found.prepared(bytes: bytes))
    }

    /// Bytes are scaled and normalised in one pass, with the bits of two.
    @Test func normalisationHasTheBitsOfItsFormula() throws {
        let (means, deviations): ([Float], [Float]) = ([0.49, 0.48, 0.45], [0.247, 0.243, 0.262])
        for list in [
            [.standardize(mean: means, deviation: deviations)],
            [try made("normalize", ["mean": .floats(means), "std": .floats(deviations)])],
        ] as [[Transformation]] {
            try compare(list) { image, _, _ in
                zip(image.indices, image).map { channel, plane in
                    plane.map { $0.map { ($0 - means[channel]) / deviations[channel] } }
                }
            }
        }
        // Directly after one another, after floats, and on stored floats.
        let twice: [Transformation] = [
            .standardize(mean: means, deviation: deviations),
            .standardize(mean: deviations, deviation: means),
        ]
        for bytes in [true, false] {
            try compare(twice, bytes: bytes) { image, _, _ in
                zip(image.indices, image).map { c, plane in
                    plane.map {
                        $0.map { (($0 - means[c]) / deviations[c] - deviations[c]) / means[c] }
                    }
                }
            }
        }
    }

    /// Zeros after a normalisation are the mean, and before it black.
    @Test func whereZerosStandDependsOnTheOrder() throws {
        let normal = Transformation.standardize(
            mean: [0.5, 0.5, 0.5], deviation: [0.25, 0.25, 0.25])
        for isFirst in [true, false] {
            let cutout = try made("cutout", ["size": .whole(64)])
            try compare(isFirst ? [cutout, normal] : [normal, cutout]) { image, _, _ in
                image.map { $0.map { $0.map { _ in isFirst ? -2 : 0 } } }
            }
        }
    }
}

/// Returns base to an exponent from -1 to 1, by its series: good to more digits than a box needs.
private func power(_ base: Double, _ exponent: Double) -> Double {
    let x = exponent * 0.693147180559945309417
    var (sum, term) = (1.0, 1.0)
    for n in 1..<30 {
        term *= x / Double(n)
        sum += term
    }
    return base == 2 ? sum : .nan
}
