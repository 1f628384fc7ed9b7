import Checksums
import Partitions
import TestSupport
import Testing

/// Transformations of bytes against digests of Pillow's, by
/// Scripts/golden/transformations.py.
@Suite struct PillowTests {
    private static func picture(_ shape: [Int]) -> [UInt8] {
        (0..<shape.reduce(1, *)).map { (index: Int) -> UInt8 in
            let number = 31 * index * index + 17 * index
            return UInt8(number / 8 % 256)
        }
    }

    private func digest(_ bytes: [UInt8]) -> String {
        String(hexadecimal(SHA256.hash(data: bytes)).prefix(16))
    }

    /// Returns the bytes of images that went through transformations of bytes alone.
    private func bytes(_ images: [Float]) -> [UInt8] { images.map { UInt8($0 * 255 + 0.5) } }

    /// A data set whose records all are the picture.
    private func open(_ shape: [Int]) throws -> (TemporaryDirectory, DataSet) {
        try StoredSample(shape: shape, counts: [2], testCount: 1, picture: Self.picture(shape))
            .open()
    }

    @Test(arguments: [
        ("brightness", 3, "f188208ffd95e8be"), ("contrast", 3, "6b7eea0098020c94"),
        ("saturation", 3, "c0b1629634564621"), ("contrast", 1, "a377d909303ce176"),
    ])
    func enhancement(name: String, channels: Int, expected: String) throws {
        let (directory, dataSet) = try open([channels, 23, 17])
        var all: [UInt8] = []
        for factor in [0.0, 0.3, 0.5, 0.8, 1.0, 1.2, 1.75, 3.1] {
            let changed = try dataSet.transformed(by: [
                made(name, ["factor": .range(factor, factor)])
            ])
            let key = AugmentationKey(seed: 4, epoch: 0)
            all += bytes(try changed.gather(.training, records: [0], augmentation: key).images)
        }
        #expect(digest(all) == expected)
        _ = directory
    }

    @Test func greyLevels() throws {
        let picture = Self.picture([3, 23, 17])
        let one = try TestPreparation([made("grey", ["channels": .whole(1)])], shape: [3, 23, 17])
        #expect(one.outputShape == [1, 23, 17])
        let levels = bytes(one.prepared(bytes: picture))
        #expect(digest(levels) == "add00f6768a13506")
        let three = try TestPreparation([made("grey")], shape: [3, 23, 17])
        #expect(bytes(three.prepared(bytes: picture)) == levels + levels + levels)
        let again = try TestPreparation([made("grey")], shape: [1, 23, 17])
        #expect(bytes(again.prepared(bytes: levels)) == levels + levels + levels)
    }

    @Test(arguments: [
        ("nearest", "c55c526fc5d1f48c"), ("box", "d999f2fa40be0dec"),
        ("bilinear", "43f3cb5bad2611aa"), ("bicubic", "d66d838ae71dc941"),
    ])
    func resizing(filter: String, expected: String) throws {
        var all: [UInt8] = []
        for (height, width) in [(23, 17), (10, 12), (40, 31), (1, 1), (23, 5), (64, 17)] {
            let preparation = try TestPreparation(
                [
                    made(
                        "resize",
                        ["size": .size(height: height, width: width), "filter": .word(filter)])
                ],
                shape: [3, 23, 17])
            #expect(preparation.outputShape == [3, height, width])
            all += bytes(preparation.prepared(bytes: Self.picture([3, 23, 17])))
        }
        #expect(digest(all) == expected)
    }
}
