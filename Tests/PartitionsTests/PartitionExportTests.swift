import Checksums
import FoundationEssentials
import Partitions
import TestSupport
import Testing

@Suite struct PartitionExportTests {
    /// In reads of any size, an export has the bytes of the files that `PartitionWriter` writes.
    @Test(arguments: [1, 4, 23]) func sameBytesAsWritten(_ partitionCount: Int) throws {
        let (source, dataSet) = try IDXSample().open()
        let directory = try TemporaryDirectory()
        let manifest = try PartitionWriter.write(
            dataSet, partitionCount: partitionCount, directory: directory.path)
        let rendered = try PartitionExport(
            .idx(directory: source.path), partitionCount: partitionCount)
        let copied = try PartitionExport(
            .partitions(directory: directory.path), partitionCount: 1)
        #expect(rendered.catalog.manifest == manifest)
        #expect(copied.catalog.manifest == manifest)
        for export in [rendered, copied] {
            for reference in export.catalog.references {
                let entry = manifest.entries(reference.split)[reference.index]
                let file = try directory.read(entry.file)
                #expect(try export.byteCount(reference) == file.count)
                for size in [1, 7, 64, file.count, file.count + 1] {
                    var bytes: [UInt8] = []
                    while bytes.count < file.count {
                        bytes += try export.bytes(reference, bytes.count..<bytes.count + size)
                    }
                    #expect(bytes == file, "\(reference) in stretches of \(size)")
                }
            }
        }
    }

    /// A supply without a network, which takes every partition straight from an export.
    private final class Direct: PartitionSupply {
        let files: [PartitionReference: [UInt8]]

        init(_ export: PartitionExport) throws {
            var files: [PartitionReference: [UInt8]] = [:]
            for reference in export.catalog.references {
                files[reference] = try export.bytes(reference, 0..<export.byteCount(reference))
            }
            self.files = files
        }

        func partition(_ reference: PartitionReference) throws(DataError) -> SuppliedPartition {
            SuppliedPartition(bytes: files[reference]!, name: "\(reference)", isOnDisk: false)
        }
        func path(_ reference: PartitionReference) throws(DataError) -> String { "nowhere" }
        func bring(_ references: [PartitionReference]) throws(DataError) {}
        func has(_ references: [PartitionReference]) -> Bool { true }
        func expect(_ references: [PartitionReference]) {}
    }

    /// A data set from supplied partitions has the description, records and batches of the
    /// original.
    @Test func suppliedDataSetIsTheSame() throws {
        let (source, dataSet) = try IDXSample().open()
        let export = try PartitionExport(.idx(directory: source.path), partitionCount: 5)
        let local = try DataSet.open(.idx(directory: source.path), partitionCount: 5)
        let catalog = try PartitionCatalog.parse(export.catalog.json, from: "memory")
        #expect(catalog == export.catalog)
        let supplied = DataSet.open(
            catalog, specification: local.specification, supply: try Direct(export))
        #expect(supplied.description == local.description)
        #expect(supplied.description == dataSet.description)
        #expect(supplied.partitionRecordCounts == local.partitionRecordCounts)
        for split in DataSplit.allCases {
            let all = Array(0..<local.description.recordCount(split)).reversed()
            let expected = try local.gather(split, records: Array(all))
            let found = try supplied.gather(split, records: Array(all))
            #expect(found.images == expected.images && found.labels == expected.labels)
        }
    }

    /// Partitions that are not on disk must fit into memory, and are never dropped from it.
    @Test func memoryIsBounded() throws {
        let (source, _) = try IDXSample().open()
        let export = try PartitionExport(.idx(directory: source.path), partitionCount: 5)
        let size = try export.byteCount(PartitionReference(.training, 0))
        let supplied = DataSet.open(
            export.catalog, specification: .idx(directory: source.path),
            supply: try Direct(export), memoryLimitByteCount: 2 * size)
        _ = try supplied.gather(.training, records: [0, 5])
        let error = dataError { try supplied.gather(.training, records: [0, 5, 20]) }
        #expect(error?.kind == .unwritable)
        #expect(error?.description.contains("--cache") == true)
    }

    @Test func damagedFileIsNamed() throws {
        let (_, dataSet) = try IDXSample().open()
        let directory = try TemporaryDirectory()
        let manifest = try PartitionWriter.write(
            dataSet, partitionCount: 3, directory: directory.path)
        let entry = manifest.training[1]
        var bytes = try directory.read(entry.file)
        bytes[bytes.count - 1] ^= 1
        try directory.write(bytes, entry.file)
        let export = try PartitionExport(
            .partitions(directory: directory.path), partitionCount: 1)
        let error = dataError { try export.byteCount(PartitionReference(.training, 1)) }
        #expect(error?.kind == .checksumMismatch)
        #expect(error?.file.hasSuffix(entry.file) == true)
        #expect(error?.expected.contains(entry.sha256) == true)
        #expect(try export.byteCount(PartitionReference(.training, 0)) > 0)
    }

    @Test func catalogsThatAreNone() throws {
        let (source, _) = try IDXSample().open()
        let catalog = try PartitionExport(.idx(directory: source.path), partitionCount: 2).catalog
        let text = String(decoding: catalog.json, as: UTF8.self)
        for (old, new) in [
            ("\"trainingCount\":23", "\"trainingCount\":22"),
            ("\"shape\":[1,3,5]", "\"shape\":[1,5]"), ("\"classes\":4", "\"classes\":5"),
            (catalog.manifest.test[0].sha256, "../../x"), ("{", "["),
        ] {
            let changed = text.replacing(old, with: new, maxReplacements: 1)
            #expect(changed != text, "\(old)")
            let error = dataError {
                try PartitionCatalog.parse(Array(changed.utf8), from: "there")
            }
            #expect(error?.kind == .badManifest && error?.file == "there", "\(old)")
        }
    }
}
