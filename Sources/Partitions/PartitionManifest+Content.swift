import Checksums
import SafeTensors

/// What a manifest demands of its partitions' files.
extension PartitionManifest {
    /// Where images and labels are in a file.
    struct Layout: Sendable {
        let images: Range<Int>
        let labels: Range<Int>
    }

    /// Compares a file's header with its entry.
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
        return try Layout(
            images: tensor("images", dtype.rawValue, [entry.records] + shape),
            labels: tensor("labels", "I32", [entry.records]))
    }

    /// The labels among `bytes`, compared with the classes and the histogram.
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
        // A file that ends too early says more by its header.
        _ = try tensors { () throws(SafeTensorsError) in
            try SafeTensorsFile.parseHeader(bytes, file: file)
        }
        guard digest == entry.sha256 else { throw entry.mismatch(file: file, found: digest) }
    }

    /// The place of a partition among training and then test partitions.
    func place(_ reference: PartitionReference) -> Int {
        reference.split == .training ? reference.index : training.count + reference.index
    }

    func reference(place: Int) -> PartitionReference {
        place < training.count
            ? PartitionReference(.training, place)
            : PartitionReference(.test, place - training.count)
    }

    func entry(_ reference: PartitionReference) -> Entry {
        entries(reference.split)[reference.index]
    }
}

extension PartitionManifest.Entry {
    func mismatch(file: String, found: String) -> DataError {
        DataError(
            .checksumMismatch, file: file, what: "SHA-256", expected: "the manifest's \(sha256)",
            found: found, advice: "copy the file again; it changed after the manifest was written")
    }
}
