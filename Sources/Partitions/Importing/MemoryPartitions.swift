import Checksums
import SafeTensors

/// The partitions of a source of bytes, in memory.
final class MemoryPartitions: PartitionFiles {
    let manifest: PartitionManifest
    private let files: [PartitionReference: [UInt8]]

    /// Imports the records of a plan.
    init(_ plan: ImportPlan) throws(DataError) {
        var files: [PartitionReference: [UInt8]] = [:]
        var entries: [PartitionReference: PartitionManifest.Entry] = [:]
        for reference in plan.references {
            let records = plan.records(reference.split)[reference.index]
            let table = plan.table(reference.split)
            let outline = plan.outline
            var bytes = try outline.header(recordCount: records.count)
            bytes.reserveCapacity(
                bytes.count + records.count * (outline.answerByteCount + outline.imageByteCount))
            bytes += outline.answers(table, records)
            let start = bytes.count
            bytes += [UInt8](repeating: 0, count: records.count * outline.imageByteCount)
            let reader = table.reader()
            var failure: DataError?
            bytes.withUnsafeMutableBytes { buffer in
                guard let base = buffer.baseAddress else { return }
                for (place, record) in records.enumerated() {
                    do throws(DataError) {
                        try reader.read(record, into: base + start + place * outline.imageByteCount)
                    } catch {
                        failure = error
                        return
                    }
                }
            }
            if let failure { throw failure }
            files[reference] = bytes
            entries[reference] = PartitionManifest.Entry(
                file: PartitionRendering.fileName(reference.split, reference.index),
                records: records.count,
                histogram: outline.histogram(table, records, classCount: plan.classCount),
                sha256: hexadecimal(SHA256.hash(data: bytes)))
        }
        self.files = files
        manifest = plan.manifest { entries[$0]! }
    }

    /// Returns the bytes of a partition's file.
    func bytes(_ reference: PartitionReference) -> [UInt8] { files[reference] ?? [] }

    func load(_ reference: PartitionReference) throws(DataError) -> SuppliedPartition {
        SuppliedPartition(
            bytes: bytes(reference), name: manifest.entry(reference).file, isOnDisk: false)
    }

    func checked<Value>(
        _ reference: PartitionReference, _ check: (ReadOnlyFile) throws(DataError) -> Value
    ) throws(DataError) -> Value? { nil }

    func reopen(_ reference: PartitionReference) throws(DataError) -> ReadOnlyFile {
        preconditionFailure("\(reference) is in memory and was never dropped from it")
    }
}
