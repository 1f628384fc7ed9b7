/// A record to look at: some figures, and a file that other programs show.
public struct RecordSample: Sendable {
    /// The number of the record as it is stored.
    public var record: Int
    /// The label; nil for a record with targets.
    public var label: Int32?
    /// The targets; none for a record with a label.
    public var targets: [Float]
    /// The smallest element.
    public var minimum: Double
    /// The mean of the elements.
    public var mean: Double
    /// The largest element.
    public var maximum: Double
    /// The ending of the file: "png" for bytes in 1 or 3 channels, "npy" for all other records.
    public var ending: String
    /// The contents of the file.
    public var file: [UInt8]
}

extension DataSet {
    /// Returns the first records of a split as they are stored.
    ///
    /// - Parameter count: the number of records; a smaller split gives fewer.
    public func samples(_ split: DataSplit, count: Int) throws(DataError) -> [RecordSample] {
        let records = 0..<min(count, description.recordCount(split))
        guard !records.isEmpty else { return [] }
        let answers = try answers(split, records)
        let (shape, type) = (description.shape, description.elementType)
        let stored = try stored(split, range: records).images
        let size = shape.reduce(1, *) * type.byteCount
        return records.map { record in
            let bytes = stored[record * size..<(record + 1) * size]
            let floats = type == .U8 ? bytes.map(Float.init) : RecordPicture.floats(bytes)
            let picture =
                RecordPicture.isPossible(shape, type)
                ? RecordPicture(Array(bytes), shape: shape, isPlain: true) : nil
            return RecordSample(
                record, answers, description.targetCount ?? 0, floats, picture: picture,
                npy: NPYText.file(bytes, shape, type))
        }
    }

    /// Returns the first training records as training sees them in an epoch.
    ///
    /// The picture of a record shows it before a normalisation at the end of the list. Pixels of 0
    /// to 1 become 0 to 255; where another normalisation is left, the record's smallest and largest
    /// element do. Records that are mixed have partners among these records.
    ///
    /// - Parameters:
    ///   - count: the number of records; a smaller split gives fewer.
    ///   - transformations: the run's list of transformations.
    ///   - augmentation: selects the random numbers.
    /// - Throws: `badSetting` when a transformation does not fit the data.
    public func samples(
        count: Int, transformations: [Transformation], augmentation: AugmentationKey
    ) throws(DataError) -> [RecordSample] {
        precondition(self.transformations.isEmpty, "expected records as they are stored")
        let records = 0..<min(count, description.recordCount(.training))
        guard !records.isEmpty else { return [] }
        let answers = try answers(.training, records)
        func images(_ list: [Transformation]) throws(DataError) -> (images: [Float], shape: [Int]) {
            let set = try transformed(by: list)
            return (
                try set.gather(.training, records: Array(records), augmentation: augmentation)
                    .images,
                set.description.shape
            )
        }
        let (seen, shape) = try images(transformations)
        let isNormalised = transformations.last.map {
            [Normalize.name, Standardize.name].contains($0.name)
        }
        let drawn =
            isNormalised ?? false ? try images(Array(transformations.dropLast())).images : seen
        let size = shape.reduce(1, *)
        return records.map { record in
            let floats = Array(seen[record * size..<(record + 1) * size])
            let image = drawn[record * size..<(record + 1) * size]
            let bytes =
                image.allSatisfy { (0...1).contains($0) }
                ? image.map { UInt8(($0 * 255).rounded()) } : RecordPicture.bytes(image)
            let picture =
                RecordPicture.isPossible(shape, description.elementType)
                ? RecordPicture(bytes, shape: shape, isPlain: true) : nil
            return RecordSample(
                record, answers, description.targetCount ?? 0, floats, picture: picture,
                npy: NPYText.file(floats.withUnsafeBytes { Array($0) }[...], shape, .F32))
        }
    }

    /// Returns the labels or targets of the first records.
    private func answers(
        _ split: DataSplit, _ records: Range<Int>
    ) throws(DataError) -> RecordAnswers {
        description.targetCount == nil
            ? RecordAnswers(labels: try labels(split, range: records))
            : RecordAnswers(targets: try targets(split, range: records))
    }
}

extension RecordPicture {
    /// Whether records of this shape, [C, H, W], and type are pictures.
    static func isPossible(_ shape: [Int], _ type: DataSetDescription.ElementType) -> Bool {
        type == .U8 && (shape[0] == 1 || shape[0] == 3)
    }
}

extension RecordSample {
    /// Creates the sample of a record, whose number is also its place in `answers`.
    ///
    /// - Parameter width: the number of targets of a record.
    fileprivate init(
        _ record: Int, _ answers: RecordAnswers, _ width: Int, _ elements: [Float],
        picture: RecordPicture?,
        npy: @autoclosure () -> [UInt8]
    ) {
        self.record = record
        label = answers.labels.isEmpty ? nil : answers.labels[record]
        targets = width == 0 ? [] : Array(answers.targets(record..<record + 1, targetCount: width))
        minimum = Double(elements.min() ?? 0)
        maximum = Double(elements.max() ?? 0)
        mean = elements.reduce(0) { $0 + Double($1) } / Double(max(1, elements.count))
        ending = picture == nil ? "npy" : "png"
        file = picture?.png ?? npy()
    }
}

/// Writes arrays in NumPy's format.
enum NPYText {
    /// Returns the file of an array, [C, H, W].
    ///
    /// Source: NumPy, `numpy.lib.format`, version 1.0.
    static func file(
        _ elements: ArraySlice<UInt8>, _ shape: [Int], _ type: DataSetDescription.ElementType
    ) -> [UInt8] {
        let dimensions = shape.map { "\($0)" }.joined(separator: ", ")
        var header =
            "{'descr': '\(type == .U8 ? "|u1" : "<f4")', 'fortran_order': False, "
            + "'shape': (\(dimensions)), }"
        // The elements begin at a multiple of 64 bytes.
        let length = 10 + header.utf8.count + 1
        header += String(repeating: " ", count: (64 - length % 64) % 64) + "\n"
        let count = header.utf8.count
        return [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(count & 255), UInt8(count >> 8)]
            + Array(header.utf8) + elements
    }
}
