import CKernels
import CounterRandom

/// Mixes an image with another one of its microbatch: w · image + (1 - w) · other, and the loss
/// counts the labels w and 1 - w. The weight w is drawn from Beta(alpha, alpha) and rounded to a
/// multiple of 2⁻¹⁶, so that bytes are mixed in integers.
///
/// Source: Zhang and others, "mixup: Beyond Empirical Risk Minimization" (ICLR 2018).
struct Mixup: MixingTransformation {
    static let name = "mixup"
    static let summary = """
        Mixes image and label with another record of the microbatch, with a weight from \
        Beta(alpha, alpha).
        """
    static let parameters = [
        TransformationParameter("alpha", .number(0.01...100), default: .number(0.2)),
        TransformationParameter("probability", .number(0...1), default: .number(1)),
    ]

    let alpha: Double
    let probability: Double

    init(_ values: TransformationValues) {
        alpha = values.number("alpha")
        probability = values.number("probability")
    }

    func mix(
        _ image: inout Canvas<UInt8>, with partner: UnsafePointer<UInt8>,
        _ random: inout RandomStream
    ) -> Float {
        let weight = (random.nextBeta(alpha) * 65536).rounded(.toNearestOrEven)
        convoy_bytes_mix(image.pixels, image.pixels, partner, image.count, UInt32(weight))
        return Float(weight) / 65536
    }

    func mix(
        _ image: inout Canvas<Float>, with partner: UnsafePointer<Float>,
        _ random: inout RandomStream
    ) -> Float {
        let weight = Float((random.nextBeta(alpha) * 65536).rounded(.toNearestOrEven)) / 65536
        let rest = 1 - weight
        for index in 0..<image.count {
            image.pixels[index] = weight * image.pixels[index] + rest * partner[index]
        }
        return weight
    }
}
