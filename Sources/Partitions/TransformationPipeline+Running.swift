import CKernels
import CounterRandom

extension TransformationPipeline {
    /// The size of an image in bytes where records are mixed.
    var mixingByteCount: Int {
        guard let mixingStep, case .mix(_, let isBytes) = steps[mixingStep] else { return 0 }
        return mixingShape.reduce(1, *) * (isBytes ? 1 : 4)
    }

    /// The records of a microbatch on their way through the pipeline.
    struct Batch {
        let records: UnsafeBufferPointer<UInt64>
        /// Selects the random numbers; nil for test records.
        let augmentation: AugmentationKey?
        /// The images behind all transformations, [count, C, H, W].
        let images: UnsafeMutablePointer<Float>
        /// The records' own labels, [count].
        let labels: UnsafePointer<Int32>
        /// Receives the second labels; nil for records that are not mixed.
        let mixture: LabelMixture?
        let scratch: TransformationScratch

        /// Whether records are mixed.
        var isMixed: Bool { augmentation != nil && scratch.pipeline.mixingStep != nil }
    }

    /// Transforms one stored image. Where records are mixed the image goes as far as that, and
    /// `finish` goes on when all have come so far.
    func start(_ stored: UnsafeRawPointer, position: Int, of batch: Batch) {
        let end = batch.isMixed ? mixingStep! : steps.count
        var image = RecordImage(batch, position, outputCount: outputCount)
        image.load(stored, isBytes: elementType == .U8, shape: inputShape)
        run(0..<end, &image)
        if batch.isMixed {
            image.store(to: batch.scratch.staged + position * mixingByteCount)
        } else {
            image.deliver()
        }
    }

    /// Mixes the records, and takes their images to the end of the list.
    func finish(_ batch: Batch) {
        guard batch.isMixed, let mixingStep, case .mix(let choices, let isBytes) = steps[mixingStep]
        else { return }
        guard let mixture = batch.mixture else {
            preconditionFailure("records are mixed, and there is no memory for second labels")
        }
        let scratch = batch.scratch
        scratch.order(batch.records)
        for position in batch.records.indices {
            var image = RecordImage(batch, position, outputCount: outputCount)
            image.load(
                scratch.staged + position * mixingByteCount, isBytes: isBytes, shape: mixingShape)
            var key = image.key(place: choices[0].place)!
            var random = key.stream
            var operation = choices[0].operation
            if choices.count > 1 {
                let choice = random.next(below: choices.count)
                if choice > 0 {
                    operation = choices[choice].operation
                    key = image.key(place: choices[choice].place)!
                    random = key.stream
                }
            }
            let isWanted = Double(random.nextUniform()) < operation.probability
            let partner = scratch.places[random.next(below: batch.records.count)].position
            mixture.labels[position] = batch.labels[position]
            mixture.weights[position] = 1
            if isWanted && partner != position {
                let other = scratch.staged + partner * mixingByteCount
                mixture.labels[position] = batch.labels[partner]
                if isBytes {
                    mixture.weights[position] = operation.mix(
                        &image.bytes, with: other.assumingMemoryBound(to: UInt8.self), &random)
                } else {
                    mixture.weights[position] = operation.mix(
                        &image.floats, with: other.assumingMemoryBound(to: Float.self), &random)
                }
            }
            run(mixingStep + 1..<steps.count, &image)
            image.deliver()
        }
    }

    /// Does some of the steps to an image.
    private func run(_ range: Range<Int>, _ image: inout RecordImage) {
        for index in range {
            switch steps[index] {
            case .bytes(let operation, let place):
                operation.apply(to: &image.bytes, image.key(place: place))
            case .scale(let table): image.scale(table)
            case .floats(let operation, let place):
                operation.apply(to: &image.floats, image.key(place: place))
            case .mix: continue
            }
        }
    }
}

/// The image of one record on its way through a pipeline.
private struct RecordImage {
    var bytes: Canvas<UInt8>
    var floats: Canvas<Float>
    private let destination: UnsafeMutablePointer<Float>
    private let augmentation: AugmentationKey?
    private let record: UInt64
    private var isBytes = false

    init(_ batch: TransformationPipeline.Batch, _ position: Int, outputCount: Int) {
        let scratch = batch.scratch
        let (byteCount, floatCount) = (
            scratch.pipeline.byteCapacity, scratch.pipeline.floatCapacity
        )
        destination = batch.images + position * outputCount
        augmentation = batch.augmentation
        record = batch.records[position]
        bytes = Canvas(
            pixels: scratch.bytes, spare: scratch.bytes + byteCount, resizer: scratch.resizer)
        // The floats are computed in their final place where they fit into it.
        floats = Canvas(
            pixels: floatCount <= outputCount ? destination : scratch.floats + floatCount,
            spare: scratch.floats)
    }

    /// Returns what selects the random numbers of an entry; nil for a test record.
    func key(place: Int) -> RecordKey? {
        augmentation.map { RecordKey(augmentation: $0, record: record, place: place) }
    }

    /// Takes an image of the given shape.
    mutating func load(_ source: UnsafeRawPointer, isBytes: Bool, shape: [Int]) {
        self.isBytes = isBytes
        if isBytes {
            bytes.reshape(channels: shape[0], height: shape[1], width: shape[2])
            UnsafeMutableRawPointer(bytes.pixels).copyMemory(from: source, byteCount: bytes.count)
        } else {
            floats.reshape(channels: shape[0], height: shape[1], width: shape[2])
            UnsafeMutableRawPointer(floats.pixels).copyMemory(
                from: source, byteCount: 4 * floats.count)
        }
    }

    /// Turns the bytes into the floats that the table gives.
    mutating func scale(_ table: [Float]) {
        floats.reshape(channels: bytes.channels, height: bytes.height, width: bytes.width)
        table.withUnsafeBufferPointer { numbers in
            for channel in 0..<bytes.channels {
                convoy_bytes_to_floats(
                    floats.pixels + channel * bytes.area, bytes.pixels + channel * bytes.area,
                    bytes.area, numbers.baseAddress! + channel * 256)
            }
        }
        isBytes = false
    }

    /// Copies the image as it is.
    func store(to target: UnsafeMutableRawPointer) {
        if isBytes {
            target.copyMemory(from: bytes.pixels, byteCount: bytes.count)
        } else {
            target.copyMemory(from: floats.pixels, byteCount: 4 * floats.count)
        }
    }

    /// Copies the image to its final place unless it is there.
    func deliver() {
        if floats.pixels != destination {
            destination.update(from: floats.pixels, count: floats.count)
        }
    }
}
