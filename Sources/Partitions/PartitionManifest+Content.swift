import Checksums
import SafeTensors

/// Checks of partition files against the manifest.
extension PartitionManifest {
    /// The byte offsets of images, and of labels or targets, in a partition's file.
    struct Layout: Sendable {
        let images: Range<Int>
        let answers: Range<Int>
    }

    /// Compares a file's header with its entry and returns the file's layout.
    ///
    /// - Throws: `badPartitionFile` when a tensor is missing or has another type or shape.
    func layout(
        _ header: SafeTensorsHeader, _ entry: PartitionManifest.Entry, file: String
    ) throws(DataError) -> Layout {
        func tensor(
            _ name: String, _ dataType: String, _ shape: [Int]
        ) throws(DataError) -> Range<Int> {
            let found = header[name]
            guard let found, found.dataType.rawValue == dataType, found.shape == shape else {
                throw DataError(
                    .badPartitionFile, file: file, what: "tensor '\(name)'",
                    expected: "\(dataType) \(shape)",
                    found: found.map { "\($0.dataType) \($0.shape)" } ?? "none",
                    advice: "write the partition or its manifest again")
            }
            return found.byteRange
        }
        let images = try tensor("images", dtype.rawValue, [entry.records] + shape)
        guard let targets else {
            return Layout(
                images: images, answers: try tensor("labels", "I32", [entry.records]))
        }
        return Layout(
            images: images, answers: try tensor("targets", "F32", [entry.records, targets]))
    }

    /// Returns the labels or targets stored in `bytes`, after checking them.
    ///
    /// - Throws: `labelOutOfRange`, `badTarget` or `badPartitionFile`.
    func answers(
        _ bytes: UnsafeRawBufferPointer, _ entry: PartitionManifest.Entry, file: String
    ) throws(DataError) -> RecordAnswers {
        guard let targets else {
            return RecordAnswers(labels: try labels(bytes, entry, file: file))
        }
        return RecordAnswers(targets: try self.targets(bytes, targets, entry, file: file))
    }

    /// Returns the targets stored in `bytes`, which must be finite numbers.
    private func targets(
        _ bytes: UnsafeRawBufferPointer, _ targetCount: Int, _ entry: PartitionManifest.Entry,
        file: String
    ) throws(DataError) -> [Float] {
        var targets: [Float] = []
        targets.reserveCapacity(entry.records * targetCount)
        for element in 0..<entry.records * targetCount {
            let bits = UInt32(
                littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * element, as: UInt32.self))
            let target = Float(bitPattern: bits)
            guard target.isFinite else {
                throw DataError(
                    .badTarget, file: file,
                    what: "target \(element % targetCount) of record \(element / targetCount)",
                    expected: "a finite number", found: "\(target)",
                    advice: "leave the record out or write the partition again")
            }
            targets.append(target)
        }
        return targets
    }

    /// Returns the labels stored in `bytes`, after comparing them with the number of classes and
    /// the histogram.
    ///
    /// - Throws: `labelOutOfRange` or `badPartitionFile`.
    func labels(
        _ bytes: UnsafeRawBufferPointer, _ entry: PartitionManifest.Entry, file: String
    ) throws(DataError) -> [Int32] {
        var histogram = [Int](repeating: 0, count: classes)
        var labels: [Int32] = []
        labels.reserveCapacity(entry.records)
        for record in 0..<entry.records {
            let label = Int32(
                littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * record, as: Int32.self))
            guard (0..<Int32(classes)).contains(label) else {
                throw DataError(
                    .labelOutOfRange, file: file, what: "label of record \(record)",
                    expected: "0 to \(classes - 1)", found: "\(label)")
            }
            histogram[Int(label)] += 1
            labels.append(label)
        }
        guard histogram == entry.histogram else {
            throw DataError(
                .badPartitionFile, file: file, what: "class histogram",
                expected: "the manifest's \(entry.histogram)", found: "\(histogram)",
                advice: "write the manifest again")
        }
        return labels
    }

    /// Throws unless `bytes` are the whole file that the entry names.
    func verify(_ bytes: [UInt8], _ entry: Entry, file: String) throws(DataError) {
        let digest = hexadecimal(SHA256.hash(data: bytes))
        // The header is checked first: for a file that ends too early its error says more.
        _ = try tensors { () throws(SafeTensorsError) in
            try SafeTensorsFile.parseHeader(bytes, file: file)
        }
        guard digest == entry.sha256 else { throw entry.mismatch(file: file, found: digest) }
    }

    /// Returns the number of a partition, counted through the training partitions and then the test
    /// partitions.
    func place(_ reference: PartitionReference) -> Int {
        reference.split == .training ? reference.index : training.count + reference.index
    }

    /// Returns the partition with the number that `place(_:)` gives.
    func reference(place: Int) -> PartitionReference {
        place < training.count
            ? PartitionReference(.training, place)
            : PartitionReference(.test, place - training.count)
    }

    /// Returns the manifest's entry of a partition. The partition must exist.
    func entry(_ reference: PartitionReference) -> Entry {
        entries(reference.split)[reference.index]
    }
}

extension PartitionManifest.Entry {
    /// Returns the error for a file whose SHA-256 is not that of this entry.
    func mismatch(file: String, found: String) -> DataError {
        DataError(
            .checksumMismatch, file: file, what: "SHA-256", expected: "the manifest's \(sha256)",
            found: found, advice: "copy the file again; it changed after the manifest was written")
    }
}
