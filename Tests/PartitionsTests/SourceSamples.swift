import Partitions
import TestSupport
import Testing

/// What a source has found, with its records in memory.
struct ScannedSource {
    var scan: SourceScan

    /// Reads a source by its specification, past the partitions and the cache.
    init(
        _ text: String, _ change: (inout SourceOptions) -> Void = { _ in }
    ) throws {
        var options = SourceOptions()
        change(&options)
        let specification = try DataSpecification(text, options: options)
        let scheme = specification.scheme
        let kind = try #require(SourceRegistry.all.first { $0.scheme == scheme })
        let source = try kind.init(specification)
        scan = try source.scan(try source.files())
    }

    func table(_ split: DataSplit) -> any RecordTable {
        split == .training ? scan.training : scan.test
    }

    /// Decodes a record as it is stored.
    func bytes(_ record: Int, _ split: DataSplit = .training) throws -> [UInt8] {
        try bytes(record, table(split).reader())
    }

    func bytes(_ record: Int, _ reader: any RecordReader) throws -> [UInt8] {
        let size = scan.elementType == .U8 ? 1 : 4
        // Guards on both sides show a reader that writes beside its record.
        let guardCount = 16
        var memory = [UInt8](
            repeating: 0xA5, count: scan.shape.reduce(1, *) * size + 2 * guardCount)
        var failure: (any Error)?
        memory.withUnsafeMutableBytes { memory in
            do { try reader.read(record, into: memory.baseAddress! + guardCount) } catch {
                failure = error
            }
        }
        #expect(memory.prefix(guardCount).allSatisfy { $0 == 0xA5 })
        #expect(memory.suffix(guardCount).allSatisfy { $0 == 0xA5 })
        if let failure { throw failure }
        return Array(memory.dropFirst(guardCount).dropLast(guardCount))
    }

    /// Decodes a record of single-precision numbers.
    func floats(_ record: Int, _ split: DataSplit = .training) throws -> [Float] {
        #expect(scan.elementType == .F32)
        return try bytes(record, split).withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }

    /// Decodes all records and drops them; whatever the bytes of the files, this returns or throws.
    func readAll() throws {
        for split in DataSplit.allCases {
            let table = table(split)
            #expect(table.labels.count == (scan.targetCount == nil ? table.count : 0))
            #expect(table.targets.count == (scan.targetCount ?? 0) * table.count)
            let bound = Int32(scan.classCount ?? 65_536)
            #expect(table.labels.allSatisfy { (0..<bound).contains($0) })
            let reader = table.reader()
            for record in 0..<table.count {
                _ = (table.name(record), table.group(record), table.interval(record))
                _ = try bytes(record, reader)
            }
        }
    }
}

extension [Float] {
    /// The little-endian bytes of the numbers.
    var littleEndian: [UInt8] { flatMap { number in number.bitPattern.littleEndianBytes } }
}

extension FixedWidthInteger {
    var littleEndianBytes: [UInt8] {
        (0..<Self.bitWidth / 8).map { UInt8(truncatingIfNeeded: self >> (8 * $0)) }
    }
}
