import CounterRandom

/// Replaces a box of an image by the same box of another one of its microbatch. The loss counts the
/// labels by the areas. The box has the share 1 - w of the image's area and the image's aspect
/// ratio, with w from Beta(alpha, alpha); its centre is any pixel, and what lies outside the image
/// is cut off.
///
/// Source: Yun and others, "CutMix: Regularization Strategy to Train Strong Classifiers with
/// Localizable Features" (ICCV 2019).
struct Cutmix: MixingTransformation {
    static let name = "cutmix"
    static let summary = """
        Replaces a box by that of another record of the microbatch; the labels count by area, \
        drawn from Beta(alpha, alpha).
        """
    static let parameters = [
        TransformationParameter("alpha", .number(0.01...100), default: .number(1)),
        TransformationParameter("probability", .number(0...1), default: .number(1)),
    ]

    let alpha: Double
    let probability: Double

    init(_ values: TransformationValues) {
        alpha = values.number("alpha")
        probability = values.number("probability")
    }

    private func box(
        height: Int, width: Int, _ random: inout RandomStream
    ) -> (rows: Range<Int>, columns: Range<Int>, weight: Float) {
        let side = (1 - random.nextBeta(alpha)).squareRoot()
        let halfHeight = Int(Double(height) * side) / 2
        let halfWidth = Int(Double(width) * side) / 2
        let y = random.next(below: height)
        let x = random.next(below: width)
        let rows = max(0, y - halfHeight)..<min(height, y + halfHeight)
        let columns = max(0, x - halfWidth)..<min(width, x + halfWidth)
        let share = Double(rows.count * columns.count) / Double(height * width)
        return (rows, columns, Float(1 - share))
    }

    func mix(
        _ image: inout Canvas<UInt8>, with partner: UnsafePointer<UInt8>,
        _ random: inout RandomStream
    ) -> Float {
        let (rows, columns, weight) = box(height: image.height, width: image.width, &random)
        image.fill(rows, columns, from: partner, zero: 0)
        return weight
    }

    func mix(
        _ image: inout Canvas<Float>, with partner: UnsafePointer<Float>,
        _ random: inout RandomStream
    ) -> Float {
        let (rows, columns, weight) = box(height: image.height, width: image.width, &random)
        image.fill(rows, columns, from: partner, zero: 0)
        return weight
    }
}
