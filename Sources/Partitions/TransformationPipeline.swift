import CounterRandom

/// A list of transformations, made ready for records of one shape and element type.
///
/// Images of bytes stay bytes as long as possible. They become floats, value / 255 by true
/// division, before the first entry that works on floats, otherwise at the end. One table of 256
/// numbers a channel does that, and does the normalisation that comes next in the same pass.
///
/// Random numbers: each entry has a stream of its own, which (seed, epoch, record, place in the
/// list) selects.
///
/// Mixing: entries that mix records stand side by side, and each record takes one of them, each as
/// likely. Partners are records of the same microbatch, and their images are those before the
/// mixing entries.
final class TransformationPipeline: Sendable {
    /// The largest number of entries.
    static let maximumCount = 64

    /// What is done to an image, one after another.
    enum Step: Sendable {
        case bytes(any ImageTransformation, place: Int)
        /// Turns bytes into floats: element c · 256 + b is what byte b of channel c becomes.
        case scale(table: [Float])
        case floats(any ImageTransformation, place: Int)
        /// Mixes records. All images of a microbatch must have come so far.
        case mix([(operation: any MixingTransformation, place: Int)], isBytes: Bool)
    }

    let transformations: [Transformation]
    /// The type in which images are stored.
    let elementType: DataSetDescription.ElementType
    /// The shape [C, H, W] of a stored image.
    let inputShape: [Int]
    /// The shape [C, H, W] of an image behind all transformations.
    let outputShape: [Int]
    let steps: [Step]
    /// The index of the step that mixes records; nil where there is none.
    let mixingStep: Int?
    /// The shape of an image where records are mixed.
    let mixingShape: [Int]
    /// The largest number of elements of an image while it is bytes, and while it is floats.
    let byteCapacity: Int
    let floatCapacity: Int

    /// Prepares a list of transformations.
    ///
    /// - Parameters:
    ///   - transformations: the list.
    ///   - shape: the shape [C, H, W] of a stored image.
    ///   - elementType: the type in which images are stored.
    ///   - hasLabels: whether the records have labels.
    /// - Throws: `badSetting` when a transformation does not fit what comes before it.
    init(
        _ transformations: [Transformation], shape: [Int],
        elementType: DataSetDescription.ElementType, hasLabels: Bool = true
    ) throws(DataError) {
        self.transformations = transformations
        self.elementType = elementType
        inputShape = shape
        var builder = PipelineBuilder(shape: shape, elementType: elementType)
        guard transformations.count <= Self.maximumCount else {
            throw DataError(
                .badSetting, file: "transformations", what: "number of transformations",
                expected: "at most \(Self.maximumCount)", found: "\(transformations.count)")
        }
        guard shape.count == 3 || transformations.isEmpty else {
            throw DataError(
                .badSetting, file: "transformations", what: "shape of the images",
                expected: "[channels, height, width]", found: "\(shape)")
        }
        for (place, transformation) in transformations.enumerated() {
            if transformation.mixesLabels && !hasLabels {
                throw DataError(
                    .badSetting, file: transformation.name, what: "records",
                    expected: "records with labels, since labels are mixed",
                    found: "records with targets")
            }
            try builder.add(try transformation.operation(), place: place)
        }
        builder.finish()
        steps = builder.steps
        outputShape = builder.shape
        mixingStep = builder.mixingStep
        mixingShape = builder.mixingShape
        byteCapacity = builder.byteCapacity
        floatCapacity = builder.floatCapacity
    }

    /// Creates the pipeline without any transformation.
    init(of data: DataSetDescription) {
        transformations = []
        elementType = data.elementType
        (inputShape, outputShape, mixingShape) = (data.shape, data.shape, data.shape)
        (steps, mixingStep) = ([], nil)
        (byteCapacity, floatCapacity) = (0, 0)
    }

    var isEmpty: Bool { transformations.isEmpty }
    /// The number of elements of a stored image.
    var inputCount: Int { inputShape.reduce(1, *) }
    /// The number of elements of an image behind all transformations.
    var outputCount: Int { outputShape.reduce(1, *) }
}

/// Puts the steps of a pipeline together.
struct PipelineBuilder {
    private(set) var shape: [Int]
    private(set) var steps: [TransformationPipeline.Step] = []
    private(set) var mixingStep: Int?
    private(set) var mixingShape: [Int]
    private(set) var byteCapacity = 0
    private(set) var floatCapacity = 0
    private let elementType: DataSetDescription.ElementType
    private var isBytes: Bool
    /// The entry that made floats of the bytes.
    private var floatsSince = ""

    init(shape: [Int], elementType: DataSetDescription.ElementType) {
        self.shape = shape
        self.elementType = elementType
        mixingShape = shape
        isBytes = elementType == .U8
        note()
    }

    /// Adds an entry of the list.
    mutating func add(_ operation: any ImageTransformation, place: Int) throws(DataError) {
        let kind = type(of: operation)
        if isBytes && kind.elements == .floats {
            scale()
            floatsSince = kind.name
        }
        guard isBytes || kind.elements != .bytes else {
            throw DataError(
                .badSetting, file: kind.name, what: "place in the list",
                expected: "images of bytes, which it works on",
                found: elementType == .F32 ? "data of floats" : "floats, since \(floatsSince)",
                advice: elementType == .F32
                    ? "leave it out" : "put \(kind.name) before \(floatsSince)")
        }
        let outcome = try operation.outputShape(of: shape)
        if let mixing = operation as? any MixingTransformation {
            try add(mixing: mixing, kind.name, place: place)
        } else if let elementwise = operation as? any ElementwiseTransformation,
            case .scale(let table)? = steps.last
        {
            // The table's numbers are those that the transformation would compute from them.
            let changed = table.indices.map { elementwise.value(table[$0], channel: $0 >> 8) }
            steps[steps.count - 1] = .scale(table: changed)
        } else {
            steps.append(
                isBytes ? .bytes(operation, place: place) : .floats(operation, place: place))
        }
        shape = outcome
        note()
    }

    /// Adds the end of the list.
    mutating func finish() {
        if isBytes { scale() }
    }

    private mutating func add(
        mixing operation: any MixingTransformation, _ name: String, place: Int
    ) throws(DataError) {
        if case .mix(let others, let isBytes)? = steps.last {
            steps[steps.count - 1] = .mix(others + [(operation, place)], isBytes: isBytes)
            return
        }
        guard mixingStep == nil else {
            throw DataError(
                .badSetting, file: name, what: "place in the list",
                expected: "all entries that mix records side by side, since a record is mixed once",
                found: "others between them", advice: "put them one after the other")
        }
        mixingStep = steps.count
        mixingShape = shape
        steps.append(.mix([(operation, place)], isBytes: isBytes))
    }

    private mutating func scale() {
        let bytes = (0..<256).map { Float($0) / 255 }
        steps.append(.scale(table: (0..<shape[0]).flatMap { _ in bytes }))
        isBytes = false
        note()
    }

    /// Takes note of the size of an image that has come so far.
    private mutating func note() {
        let count = shape.reduce(1, *)
        if isBytes {
            byteCapacity = max(byteCapacity, count)
        } else {
            floatCapacity = max(floatCapacity, count)
        }
    }
}
