import CounterRandom

/// A change of an image that is made each time the image is read; the result is not stored.
///
/// Determinism: the random transformations draw from a stream of random numbers that (seed, epoch,
/// record) selects, in the order in which they are listed. The result therefore does not depend on
/// which process reads a record, when, or how often.
public enum Transformation: Sendable, Codable, Hashable {
    /// (value - mean[c]) / deviation[c] for every channel c, on both splits.
    case standardize(mean: [Float], deviation: [Float])
    /// Swaps left and right with probability one half, on the training split only.
    case randomHorizontalFlip
    /// Adds `padding` zeros on each side of the image and cuts out a window of the old size at a
    /// random place, on the training split only. Before `standardize` zero means black; after it
    /// zero means the mean.
    case randomCrop(padding: Int)

    /// Whether the transformation draws random numbers.
    public var isRandom: Bool {
        switch self {
        case .standardize: false
        case .randomHorizontalFlip, .randomCrop: true
        }
    }

    /// The transformation in words. Equal values give equal texts on every machine, because Swift
    /// prints floats exactly.
    var canonicalText: String {
        switch self {
        case .standardize(let mean, let deviation):
            "standardize mean \(mean) deviation \(deviation)"
        case .randomHorizontalFlip: "random-horizontal-flip"
        case .randomCrop(let padding): "random-crop padding \(padding)"
        }
    }

    /// Throws `badSetting` when the transformation does not fit images of `shape`, [C, H, W].
    func check(shape: [Int]) throws(DataError) {
        switch self {
        case .standardize(let mean, let deviation):
            guard mean.count == shape[0], deviation.count == shape[0] else {
                throw DataError(
                    .badSetting, file: "standardize", what: "means and deviations",
                    expected: "\(shape[0]) of each, one a channel",
                    found: "\(mean.count) and \(deviation.count)")
            }
            guard deviation.allSatisfy({ $0.isFinite && $0 > 0 }), mean.allSatisfy(\.isFinite)
            else {
                throw DataError(
                    .badSetting, file: "standardize", what: "means and deviations",
                    expected: "finite, deviations above 0", found: "\(mean) and \(deviation)")
            }
        case .randomHorizontalFlip: return
        case .randomCrop(let padding):
            guard padding >= 0, padding <= min(shape[1], shape[2]) else {
                throw DataError(
                    .badSetting, file: "random crop", what: "padding",
                    expected: "0 to \(min(shape[1], shape[2])), the image's side",
                    found: "\(padding)")
            }
        }
    }

    /// Changes an image in place as the images of test records are changed. A random transformation
    /// leaves the image unchanged.
    ///
    /// - Parameters:
    ///   - image: the elements [C, H, W] in row-major order.
    ///   - shape: the shape [C, H, W].
    public func applyWithoutChance(to image: inout [Float], shape: [Int]) {
        precondition(
            image.count == shape.reduce(1, *), "\(image.count) numbers, expected \(shape)")
        var none: RandomStream?
        image.withUnsafeMutableBufferPointer { pixels in
            guard let start = pixels.baseAddress else { return }
            apply(to: start, shape: shape, random: &none)
        }
    }

    /// Changes `image`, [C, H, W], in place. Without random numbers a random transformation leaves
    /// the image unchanged.
    func apply(
        to image: UnsafeMutablePointer<Float>, shape: [Int], random: inout RandomStream?
    ) {
        switch self {
        case .standardize(let mean, let deviation):
            let area = shape[1] * shape[2]
            for channel in 0..<shape[0] {
                let plane = image + channel * area
                let (m, d) = (mean[channel], deviation[channel])
                for index in 0..<area { plane[index] = (plane[index] - m) / d }
            }
        case .randomHorizontalFlip:
            guard random != nil, random!.next32() & 1 == 1 else { return }
            let width = shape[2]
            for row in 0..<shape[0] * shape[1] {
                var pixels = UnsafeMutableBufferPointer(start: image + row * width, count: width)
                pixels.reverse()
            }
        case .randomCrop(let padding):
            guard random != nil else { return }
            let down = random!.next(below: 2 * padding + 1) - padding
            let right = random!.next(below: 2 * padding + 1) - padding
            shift(image, shape: shape, down: down, right: right)
        }
    }

    /// Sets pixel [c, y, x] to old pixel [c, y + down, x + right], or to zero outside the image.
    private func shift(
        _ image: UnsafeMutablePointer<Float>, shape: [Int], down: Int, right: Int
    ) {
        let (height, width) = (shape[1], shape[2])
        // Each source row must be read before it is overwritten: from the top when the source is
        // below.
        let rows = down >= 0 ? Array(0..<height) : (0..<height).reversed()
        for channel in 0..<shape[0] {
            let plane = image + channel * height * width
            for y in rows {
                let row = plane + y * width
                guard (0..<height).contains(y + down) else {
                    row.update(repeating: 0, count: width)
                    continue
                }
                let source = plane + (y + down) * width
                let kept = max(0, width - abs(right))
                if right >= 0 {
                    row.update(from: source + (width - kept), count: kept)
                    (row + kept).update(repeating: 0, count: width - kept)
                } else {
                    (row + (width - kept)).update(from: source, count: kept)
                    row.update(repeating: 0, count: width - kept)
                }
            }
        }
    }
}

/// Selects the random numbers of one pass over the training data.
public struct AugmentationKey: Sendable, Hashable {
    /// The run's seed.
    public var seed: UInt64
    /// The number of the pass over the data, from 0.
    public var epoch: Int

    /// Creates a key.
    public init(seed: UInt64, epoch: Int) {
        self.seed = seed
        self.epoch = epoch
    }

    /// Returns the stream of random numbers for one record.
    func stream(record: UInt64) -> RandomStream {
        RandomStream(seed: seed, purpose: .augmentation, UInt64(epoch), record)
    }
}
