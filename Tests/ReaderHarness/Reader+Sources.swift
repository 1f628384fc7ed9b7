import Partitions

/// Readers of data sets in the formats of other programs.
extension Reader {
    private static let arrayFiles = ScratchFiles(
        "npy", ["x_train.npy", "y_train.npy"],
        links: ["x_test.npy": "x_train.npy", "y_test.npy": "y_train.npy"])
    private static let tableFiles = ScratchFiles("csv", ["train.csv"])
    private static let seriesFiles = ScratchFiles("series", ["train.csv"])
    private static let shardFiles = ScratchFiles("tar", ["shard.tar"])

    static let ofSources: [Reader] = [
        Reader(
            "csv", "CSVSource: a table with a header line", seeds: Seeds.tables
        ) { bytes in
            try tableFiles.with([bytes]) { directory in
                try read(DataSpecification("csv:\(directory)"))
            }
        },
        Reader(
            "npy", "NPYSource: an array of records and an array of labels", seeds: Seeds.arrays
        ) { bytes in
            // The first two bytes give the place where the labels begin.
            guard bytes.count >= 2 else { return .refused }
            let cut = min(bytes.count, 2 + Int(bytes[0]) + Int(bytes[1]) << 8)
            let parts = [bytes[2..<max(2, cut)], bytes[max(2, cut)...]]
                .map { UnsafeRawBufferPointer(rebasing: $0) }
            return try arrayFiles.with(parts) { directory in
                try read(DataSpecification("npy:\(directory)"))
            }
        },
        Reader(
            "series", "CSVSource: a table whose rows are time steps", seeds: Seeds.series
        ) { bytes in
            var options = SourceOptions()
            var series = SeriesOptions(length: 2, stride: 1)
            series.by = "id"
            series.time = "t"
            series.gap = 2
            series.labelAt = .majority
            options.series = series
            return try seriesFiles.with([bytes]) { directory in
                try read(DataSpecification("csv:\(directory)", options: options))
            }
        },
        Reader(
            "tar", "TarSource: a shard of records", maximumByteCount: 16 << 10, seeds: Seeds.shards
        ) { bytes in
            try shardFiles.with([bytes]) { directory in
                try read(DataSpecification("tar:\(directory)/shard.tar"))
            }
        },
    ]

    /// Decodes all records of a source. What is found twice must be equal.
    private static func read(_ specification: DataSpecification) throws -> Outcome {
        guard let kind = SourceRegistry.all.first(where: { $0.scheme == specification.scheme })
        else { throw ReaderFlaw("no source \(specification.scheme)") }
        let source = try kind.init(specification)
        let scan = try source.scan(try source.files())
        let again = try ReaderFlaw.reread("\(specification)") {
            try source.scan(try source.files())
        }
        try ReaderFlaw.require(again.shape, equals: scan.shape, "shape")
        for (one, two) in [(scan.training, again.training), (scan.test, again.test)] {
            try ReaderFlaw.require(two.labels, equals: one.labels, "labels")
            try ReaderFlaw.require(
                one.labels.count == (scan.targetCount == nil ? one.count : 0),
                "\(one.labels.count) labels of \(one.count) records")
            try ReaderFlaw.require(
                one.labels.allSatisfy { (0..<Int32(scan.classCount ?? 65_536)).contains($0) },
                "a label is out of range")
            try decode(one, byteCount: scan.shape.reduce(1, *) * (scan.elementType == .U8 ? 1 : 4))
        }
        return .taken
    }

    private static func decode(_ table: any RecordTable, byteCount: Int) throws {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 16)
        defer { memory.deallocate() }
        let reader = table.reader()
        var refusal: (any Error)?
        for record in 0..<table.count {
            _ = (table.name(record), table.group(record), table.interval(record))
            do { try reader.read(record, into: memory) } catch { refusal = error }
        }
        if let refusal { throw refusal }
    }
}

extension Seeds {
    static let tables: [[UInt8]] = [
        Array("a,label,b\r\n1,0,2.5\r\n\"-3e2\",\"2\",0.1\r\n".utf8),
        Array(
            "label,pixel1,pixel2,pixel3,pixel4,split\n\"x\",0,1,2,3,train\ny,4,5,6,7,test\n".utf8),
        Array("label,pixels,Usage\n3,70 80 82 255,Training\n0,1 2 3 4,PublicTest\n".utf8),
    ]

    static let series: [[UInt8]] = [
        Array("id,t,x,label\na,1,0.5,1\na,2,0.25,1\na,3,1,0\nb,1,7,0\nb,2,8,0\n".utf8),
        Array("x,y,id,label,t\n1,2,s,ok,0.5\n3,4,s,ok,1.5\n5,6,s,bad,9.5\n".utf8),
    ]

    private static func array(_ type: String, _ shape: String, _ data: [UInt8]) -> [UInt8] {
        let text = "{'descr': '\(type)', 'fortran_order': False, 'shape': (\(shape)), }\n"
        return [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(text.utf8.count), 0] + Array(text.utf8)
            + data
    }

    static let arrays: [[UInt8]] = [
        both(array("|u1", "2, 2, 2", [1, 2, 3, 4, 5, 6, 7, 8]), array("<i2", "2,", [1, 0, 0, 0])),
        both(
            array("<f4", "2, 1", [0, 0, 0x80, 0x3F, 0, 0, 0, 0x40]), array("|u1", "2, 1", [0, 1])),
    ]

    private static func both(_ elements: [UInt8], _ labels: [UInt8]) -> [UInt8] {
        [UInt8(elements.count & 255), UInt8(elements.count >> 8)] + elements + labels
    }

    static let shards: [[UInt8]] = {
        func member(_ name: String, _ data: [UInt8], kind: UInt8 = 0x30) -> [UInt8] {
            var header = [UInt8](repeating: 0, count: 512)
            func put(_ bytes: [UInt8], _ offset: Int) {
                header.replaceSubrange(offset..<offset + bytes.count, with: bytes)
            }
            func octal(_ value: Int, _ count: Int) -> [UInt8] {
                let text = String(value, radix: 8)
                return Array((String(repeating: "0", count: count - text.utf8.count) + text).utf8)
            }
            put(Array(name.utf8), 0)
            put(octal(data.count, 11), 124)
            put([kind], 156)
            put(Array("ustar\u{0}00".utf8), 257)
            put(octal(header.reduce(8 * 0x20) { $0 + Int($1) }, 6), 148)
            return header + data + [UInt8](repeating: 0, count: (512 - data.count % 512) % 512)
        }
        let end = [UInt8](repeating: 0, count: 1024)
        let record = array("|u1", "2, 2", [1, 2, 3, 4])
        let plain = member("a.npy", record) + member("a.cls", Array("1".utf8))
        let pax = member("x", Array("14 path=b.cls\n".utf8), kind: 0x78)
        let long = member("x", Array("b.npy\0".utf8), kind: 0x4C)
        return [
            plain + end,
            plain + long + member("cut", record) + pax + member("cut", Array("2".utf8)) + end,
        ]
    }()
}
