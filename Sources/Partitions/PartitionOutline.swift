import SafeTensors

/// What the bytes of a partition file follow from: the form of its records.
///
/// A file is a header, the labels or targets, and the images. The labels or targets come before the
/// images, because wider elements must come first and a label or target is at least as wide as an
/// image's element.
struct PartitionOutline: Sendable {
    let shape: [Int]
    let elementType: DataSetDescription.ElementType
    /// The number of targets of a record; nil for records with labels.
    let targetCount: Int?

    init(
        shape: [Int], elementType: DataSetDescription.ElementType, targetCount: Int?
    ) {
        self.shape = shape
        self.elementType = elementType
        self.targetCount = targetCount
    }

    init(_ description: DataSetDescription) {
        self.init(
            shape: description.shape, elementType: description.elementType,
            targetCount: description.targetCount)
    }

    /// The number of bytes of a record's image.
    var imageByteCount: Int { shape.reduce(1, *) * elementType.byteCount }
    /// The number of bytes of a record's label or targets.
    var answerByteCount: Int { 4 * (targetCount ?? 1) }

    /// Returns the header of a file.
    func header(recordCount: Int) throws(DataError) -> [UInt8] {
        try tensors { () throws(SafeTensorsError) in
            try SafeTensorsFile.encodedHeader(
                [
                    TensorOutline(
                        name: targetCount == nil ? "labels" : "targets",
                        dataType: targetCount == nil ? .I32 : .F32,
                        shape: [recordCount] + (targetCount.map { [$0] } ?? []),
                        byteCount: answerByteCount * recordCount),
                    TensorOutline(
                        name: "images", dataType: elementType == .U8 ? .U8 : .F32,
                        shape: [recordCount] + shape, byteCount: imageByteCount * recordCount),
                ], file: "memory")
        }
    }

    /// Returns the bytes of the labels or targets of some records of a table.
    func answers(_ table: any RecordTable, _ records: some Sequence<Int>) -> [UInt8] {
        let words: [UInt32]
        if let targetCount {
            let targets = table.targets
            words = records.flatMap { record in
                targets[record * targetCount..<(record + 1) * targetCount].map(\.bitPattern)
            }
        } else {
            let labels = table.labels
            words = records.map { UInt32(bitPattern: labels[$0]) }
        }
        return words.map(\.littleEndian).withUnsafeBytes { [UInt8]($0) }
    }

    /// Returns the number of records of each class among some records of a table; none for records
    /// with targets.
    func histogram(
        _ table: any RecordTable, _ records: some Sequence<Int>, classCount: Int
    ) -> [Int] {
        if targetCount != nil { return [] }
        var histogram = [Int](repeating: 0, count: classCount)
        let labels = table.labels
        for record in records { histogram[Int(labels[record])] += 1 }
        return histogram
    }
}
