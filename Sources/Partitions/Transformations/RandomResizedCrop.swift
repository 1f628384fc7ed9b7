import CKernels
import CounterRandom
import Pictures

/// Cuts out a box of random area and aspect ratio at a random place, and resizes it to a size.
///
/// The box is drawn as torchvision's `RandomResizedCrop` draws it: up to ten times an area, a share
/// of the image's from `scale`, and a ratio of width to height whose logarithm is uniform in
/// `ratio`; sides are rounded to even. The first box that fits has its place drawn, row before
/// column. When none fits, it is the largest box in the middle whose ratio is in `ratio`.
///
/// Test records: the largest box in the middle that has the aspect ratio of the size is resized.
/// Without a size a test record stays as it is.
struct RandomResizedCrop: ImageTransformation {
    static let name = "random-resized-crop"
    static let summary = """
        Resizes a box of random area and aspect ratio to `size`, by default the image's own; of a \
        test record the largest middle box of the size's aspect ratio.
        """
    static let parameters = [
        TransformationParameter("size", .size, isOptional: true),
        TransformationParameter("scale", .range(0.001...1), default: .range(0.08, 1)),
        TransformationParameter("ratio", .range(0.01...100), default: .range(3.0 / 4, 4.0 / 3)),
        PictureFilter.parameter,
    ]
    static let elements = TransformationElements.bytes
    static let actsOnTestRecords = true

    let size: (height: Int, width: Int)?
    let scale: ClosedRange<Double>
    let ratio: ClosedRange<Double>
    let filter: PictureFilter
    private let logarithms: ClosedRange<Double>

    init(_ values: TransformationValues) {
        size = values.optionalSize("size")
        scale = values.range("scale")
        ratio = values.range("ratio")
        filter = PictureFilter(values)
        logarithms = convoy_log(ratio.lowerBound)...convoy_log(ratio.upperBound)
    }

    func outputShape(of shape: [Int]) throws(DataError) -> [Int] {
        try PictureResizer.check(shape, name: Self.name)
        return size.map { [shape[0], $0.height, $0.width] } ?? shape
    }

    func apply(to image: inout Canvas<UInt8>, _ key: RecordKey?) {
        let size = size ?? (image.height, image.width)
        let box =
            key.map { draw(height: image.height, width: image.width, $0.stream) }
            ?? middle(height: image.height, width: image.width, like: size)
        image.resize(box, height: size.height, width: size.width, filter)
    }

    private typealias Box = Pictures.Box

    private func draw(height: Int, width: Int, _ stream: RandomStream) -> Box {
        var random = stream
        for _ in 0..<10 {
            let area = Double(height * width) * random.next(in: scale)
            let ratio = convoy_exp(random.next(in: logarithms))
            let w = Int((area * ratio).squareRoot().rounded(.toNearestOrEven))
            let h = Int((area / ratio).squareRoot().rounded(.toNearestOrEven))
            guard w > 0, w <= width, h > 0, h <= height else { continue }
            let top = random.next(below: height - h + 1)
            return Box(
                top: top, left: random.next(below: width - w + 1), height: h, width: w)
        }
        var (h, w) = (height, width)
        let own = Double(width) / Double(height)
        if own < ratio.lowerBound {
            h = Int((Double(w) / ratio.lowerBound).rounded(.toNearestOrEven))
        } else if own > ratio.upperBound {
            w = Int((Double(h) * ratio.upperBound).rounded(.toNearestOrEven))
        }
        (h, w) = (max(1, min(h, height)), max(1, min(w, width)))
        return Box(top: (height - h) / 2, left: (width - w) / 2, height: h, width: w)
    }

    private func middle(height: Int, width: Int, like size: (height: Int, width: Int)) -> Box {
        var (h, w) = (height, width)
        if width * size.height > height * size.width {
            w = max(1, height * size.width / size.height)
        } else {
            h = max(1, width * size.height / size.width)
        }
        return Box(top: (height - h) / 2, left: (width - w) / 2, height: h, width: w)
    }
}
