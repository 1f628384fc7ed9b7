import CounterRandom
import Partitions
import TestSupport
import Testing

/// A file in NumPy's format.
///
/// - Parameters:
///   - version: the version of the format, 1 to 3.
func npy(
    _ descr: String, _ shape: [Int], _ data: [UInt8], version: UInt8 = 1, isFortran: Bool = false
) -> [UInt8] {
    let dimensions = shape.map { "\($0)" }.joined(separator: ", ") + (shape.count == 1 ? "," : "")
    return npy(
        header: "{'descr': '\(descr)', 'fortran_order': \(isFortran ? "True" : "False"), "
            + "'shape': (\(dimensions)), }", data, version: version)
}

func npy(header text: String, _ data: [UInt8], version: UInt8 = 1) -> [UInt8] {
    let prefix = version == 1 ? 10 : 12
    let blanks = (64 - (prefix + text.utf8.count + 1) % 64) % 64
    let header = Array((text + String(repeating: " ", count: blanks) + "\n").utf8)
    let length = UInt32(header.count).littleEndianBytes.prefix(version == 1 ? 2 : 4)
    return [0x93] + Array("NUMPY".utf8) + [version, 0] + length + header + data
}

@Suite struct NPYSourceTests {
    private func source(
        _ files: [String: [UInt8]], _ change: (inout SourceOptions) -> Void = { _ in }
    ) throws -> ScannedSource {
        let directory = try TemporaryDirectory()
        for (name, bytes) in files { try directory.write(bytes, name) }
        let source = try ScannedSource("npy:\(directory.path)", change)
        withExtendedLifetime(directory) {}
        return source
    }

    private func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 * 7) }
    }
    private let labels = npy("<i8", [4], [2, 0, 1, 2].flatMap { Int64($0).littleEndianBytes })

    // MARK: Shapes

    @Test(arguments: [
        ([4], [1, 1, 1]), ([4, 6], [6, 1, 1]), ([4, 2, 3], [1, 2, 3]), ([4, 3, 2, 5], [3, 2, 5]),
        ([4, 2, 5, 3], [3, 2, 5]), ([4, 2, 5, 4], [4, 2, 5]), ([4, 2, 5, 1], [1, 2, 5]),
        ([4, 3, 5, 3], [3, 5, 3]), ([4, 1, 28, 1], [1, 28, 1]), ([4, 7, 5, 2], [7, 5, 2]),
    ])
    func shapesFollowTheRule(shape: [Int], record: [Int]) throws {
        for type in ["|u1", "<f4"] {
            let count = shape.reduce(1, *)
            let values = (0..<count).map { UInt8(truncatingIfNeeded: $0 * 3) }
            let data = type == "|u1" ? values : values.map { Float($0) }.littleEndian
            let source = try source(["x.npy": npy(type, shape, data), "y.npy": labels])
            #expect(source.scan.shape == record)
            #expect(source.scan.training.labels == [2, 0, 1, 2])
            #expect(source.scan.training.name(3) == "x.npy#3")
            let size = count / 4
            let isLast = shape.count == 4 && record != Array(shape.dropFirst())
            for number in 0..<4 {
                var expected = Array(values[number * size..<(number + 1) * size])
                if isLast {
                    let (channels, pixels) = (record[0], record[1] * record[2])
                    let items = expected
                    expected = (0..<size).map { items[$0 % pixels * channels + $0 / pixels] }
                }
                if type == "|u1" {
                    #expect(try source.bytes(number) == expected)
                } else {
                    #expect(try source.floats(number) == expected.map { Float($0) })
                }
            }
        }
    }

    @Test func shapesOfTheOptionsCount() throws {
        let array = npy("|u1", [4, 2, 6], bytes(48))
        let source = try source(["x.npy": array, "y.npy": labels]) { $0.table.shape = [3, 2, 2] }
        #expect(source.scan.shape == [3, 2, 2])
        #expect(try source.bytes(1) == Array(bytes(48)[12..<24]))
        let error = dataError {
            try self.source(["x.npy": array, "y.npy": labels]) { $0.table.shape = [1, 2, 5] }
        }
        #expect(error?.kind == .sizeMismatch)
        let five = npy("|u1", [4, 1, 2, 2, 3], bytes(48))
        #expect(
            dataError { try self.source(["x.npy": five, "y.npy": labels]) }?.kind == .sizeMismatch)
    }

    // MARK: Types

    /// The value of each type is NumPy's `astype("float32")`.
    @Test(
        arguments: [
            ("|b1", [0, 1, 1, 0], [0, 1, 1, 0]),
            ("|i1", [0xFF, 0x80, 0x7F, 0], [-1, -128, 127, 0]),
            ("<u2", [1, 0, 0xFF, 0xFF, 0, 1, 0, 0], [1, 65_535, 256, 0]),
            ("<i2", [1, 0, 0xFF, 0xFF, 0, 0x80, 0, 0], [1, -1, -32_768, 0]),
            ("<f2", [0, 0x3C, 0, 0xC0, 1, 0, 0xFF, 0x7B], [1, -2, 0x1p-24, 65_504]),
        ] as [(String, [UInt8], [Float])])
    func smallTypesAreConverted(type: String, data: [UInt8], values: [Float]) throws {
        let source = try source(["x.npy": npy(type, [4], data), "y.npy": labels])
        #expect(try (0..<4).map { try source.floats($0)[0] } == values)
    }

    @Test func wideTypesAreConverted() throws {
        let doubles = [0.1, -1e38, Double.leastNormalMagnitude / 1024, 5].flatMap {
            $0.bitPattern.littleEndianBytes
        }
        let source = try source(["x.npy": npy("<f8", [4], doubles), "y.npy": labels])
        #expect(try (0..<4).map { try source.floats($0)[0] } == [0.1, -1e38, 0, 5])
        for (type, byteCount) in [("<i4", 4), ("<u4", 4), ("<i8", 8), ("<u8", 8)] {
            let data = [0, 7, 1 << 24, 1 << 24 + 1].flatMap {
                Int64($0).littleEndianBytes.prefix(byteCount)
            }
            let source = try self.source(["x.npy": npy(type, [4], data), "y.npy": labels])
            #expect(try (0..<3).map { try source.floats($0)[0] } == [0, 7, 0x1p24])
            let error = dataError { try source.floats(3) }
            #expect(error?.kind == .badRecord && error?.what == "record 3, element 0")
        }
    }

    @Test(arguments: [Float.nan, .infinity, -.infinity])
    func numbersThatAreNotFiniteAreNamed(value: Float) throws {
        var values = [Float](repeating: 1, count: 12)
        values[7] = value
        let source = try source([
            "x.npy": npy("<f4", [4, 3], values.littleEndian), "y.npy": labels,
        ])
        #expect(try source.floats(1) == [1, 1, 1])
        let error = dataError { try source.floats(2) }
        #expect(error?.kind == .badRecord && error?.what == "record 2, element 1")
        let huge = npy("<f8", [4], [1, 1, 1, 1e39].flatMap { $0.bitPattern.littleEndianBytes })
        let range = try self.source(["x.npy": huge, "y.npy": labels])
        #expect(dataError { try range.floats(3) }?.kind == .badRecord)
    }

    // MARK: Headers

    /// What `numpy.save(f, numpy.array([[1, 2], [3, 4]], "u1"))` writes.
    @Test(arguments: [1, 2, 3] as [UInt8])
    func versionsAreRead(version: UInt8) throws {
        let y = npy("|u1", [2, 1], [1, 0], version: version)
        let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2), }"
        let x = npy(header: header, [1, 2, 3, 4], version: version)
        let source = try source(["X_train.npy": x, "y_train.npy": y])
        #expect(try source.bytes(1) == [3, 4])
        #expect(source.scan.training.labels == [1, 0])
    }

    @Test(arguments: [
        "{\"shape\":(4L,),\"descr\":\"|u1\",\"fortran_order\":False}",
        "{ 'fortran_order' : False , 'descr' : '|u1' , 'shape' : ( 4 , ) , }",
        "{'descr': '|u1', 'fortran_order': True, 'shape': (4,)}",
        "{'descr': '<u1', 'fortran_order': False, 'shape': (4,)}",
    ])
    func otherSpellingsAreRead(header: String) throws {
        let source = try source(["x.npy": npy(header: header, bytes(4)), "y.npy": labels])
        #expect(try source.bytes(3) == [21])
    }

    @Test(arguments: [
        "", "{}", "{'descr': '|u1', 'fortran_order': False}", "('|u1', False, (4,))",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (4,), 'x': 1}",
        "{'descr': '|u1', 'descr': '|u1', 'fortran_order': False, 'shape': (4,)}",
        "{'descr': '|u1', 'fortran_order': 0, 'shape': (4,)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (4)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (-4,)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (2*2,)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': ()}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (4, 0)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (4,)} + x",
        "{'descr': '|O', 'fortran_order': False, 'shape': (4,)}",
        "{'descr': '>f4', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<U1', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (4,)}",
        "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 2)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999,)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (4294967296, 4294967296)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (0, 4294967296, 4294967296)}",
        "{'descr': '\\x41', 'fortran_order': False, 'shape': (4,)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (3,)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (5,)}",
    ])
    func otherHeadersAreRefused(header: String) throws {
        let error = dataError {
            try source(["x.npy": npy(header: header, bytes(4)), "y.npy": labels])
        }
        let kinds: [DataError.Kind] = [.sizeMismatch, .truncated, .trailingBytes]
        #expect(error.map { kinds.contains($0.kind) } == true, "\(String(describing: error))")
    }

    @Test(
        arguments: [
            ([], "a file of 0 bytes"),
            ([0x50, 0x4B, 3, 4] + [UInt8](repeating: 0, count: 30), "zip"),
            ([0x80, 4] + [UInt8](repeating: 0, count: 30), "pickle"),
            ([UInt8](repeating: 65, count: 30), "another format"),
            ([0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59, 9, 0, 0, 0, 0, 0], "9.0"),
            ([0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59, 2, 0, 0xFF, 0xFF, 0xFF, 0xFF], "4294967295"),
        ] as [([UInt8], String)])
    func otherFormatsAreNamed(bytes: [UInt8], found: String) throws {
        let error = dataError { try source(["x.npy": bytes, "y.npy": labels]) }
        #expect(error?.found.contains(found) == true, "\(String(describing: error))")
    }

    // MARK: Files

    @Test func filesAreFound() throws {
        let x = npy("|u1", [4, 2], bytes(8))
        for (one, two) in [
            ("train_images", "train_labels"), ("train_x", "train_y"), ("x_train", "y_train"),
            ("images", "labels"), ("X", "y"), ("X_train", "y_train"),
        ] {
            let source = try source(["\(one).npy": x, "\(two).npy": labels, "note.txt": [1]])
            #expect(source.scan.training.count == 4 && source.scan.test.count == 0)
        }
        let both = try source([
            "x_train.npy": x, "y_train.npy": labels, "x_test.npy": npy("|u1", [1, 2], [8, 9]),
            "y_test.npy": npy("|u1", [1], [3]),
        ])
        #expect(try both.bytes(0, .test) == [8, 9] && both.scan.test.labels == [3])
    }

    @Test func missingFilesAreNamed() throws {
        let x = npy("|u1", [4, 2], bytes(8))
        func error(_ files: [String: [UInt8]]) -> DataError? { dataError { try source(files) } }
        #expect(error(["data.npz": [1]])?.advice == "unpack it there with unzip")
        #expect(error(["x_train.npy": x])?.what == "partner of x_train.npy")
        #expect(
            error(["x.npy": x, "y.npy": labels, "x_test.npy": x])?.what == "partner of x_test.npy")
        #expect(
            error(["x_train.npy": x, "train_x.npy": x, "y_train.npy": labels])?.found
                == "train_x.npy and x_train.npy")
        #expect(dataError { try ScannedSource("npy:/nonexistent") }?.kind == .unreadable)
        let other = error([
            "x_train.npy": x, "y_train.npy": labels, "x_test.npy": npy("|u1", [4, 3], bytes(12)),
            "y_test.npy": labels,
        ])
        #expect(other?.kind == .sizeMismatch)
        #expect(
            error(["x.npy": npy("|u1", [0, 2], []), "y.npy": npy("|u1", [0], [])])?.kind
                == .emptySet)
        #expect(
            error(["x.npy": npy("|u1", [3, 2], bytes(6)), "y.npy": labels])?.kind == .sizeMismatch)
    }

    // MARK: Labels and targets

    @Test func classNamesAreRead() throws {
        let x = npy("|u1", [4, 2], bytes(8))
        let source = try source([
            "x.npy": x, "y.npy": labels, "classes.txt": Array("cat\r\ndog\nfox \n\n".utf8),
        ])
        #expect(source.scan.classNames == ["cat", "dog", "fox "] && source.scan.classCount == 3)
        for names in ["cat\ndog\n", "cat\ncat\ndog\n", "cat\n\ndog\nfox\n", ""] {
            let error = dataError {
                try self.source(["x.npy": x, "y.npy": labels, "classes.txt": Array(names.utf8)])
            }
            #expect(error != nil, "\(names)")
        }
    }

    @Test(
        arguments: [
            ("|i1", [0, 0xFF, 0, 0]), ("<i2", [0, 0, 0, 0x80, 0, 0, 0, 0]),
            ("<u4", [0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ] as [(String, [UInt8])])
    func labelsOutOfRangeAreNamed(type: String, data: [UInt8]) throws {
        let error = dataError {
            try source(["x.npy": npy("|u1", [4, 2], bytes(8)), "y.npy": npy(type, [4], data)])
        }
        #expect(error?.kind == .labelOutOfRange && error?.what == "label of record 1")
    }

    @Test func labelsOfOtherFormsAreRefused() throws {
        let x = npy("|u1", [4, 2], bytes(8))
        let floats = npy("<f4", [4], [Float](repeating: 1, count: 4).littleEndian)
        #expect(
            dataError { try source(["x.npy": x, "y.npy": floats]) }?.what == "type of the labels")
        let oneHot = npy("|u1", [4, 3], [UInt8](repeating: 0, count: 12))
        let error = dataError { try source(["x.npy": x, "y.npy": oneHot]) }
        #expect(error?.advice == "save y.argmax(1) in place of one-hot labels")
    }

    @Test func targetsAreRead() throws {
        let x = npy("|u1", [4, 2], bytes(8))
        let values: [Float] = [1, 2, 3, 4, 5, 6, 7, 8.5]
        let y = npy("<f4", [4, 2], values.littleEndian)
        let named = try source(["train_x.npy": x, "train_targets.npy": y])
        #expect(named.scan.targetCount == 2 && named.scan.training.targets == values)
        let chosen = try source(["x.npy": x, "y.npy": y]) {
            $0.table.targets = ["width", "height"]
        }
        #expect(chosen.scan.training.targets == values && chosen.scan.training.labels.isEmpty)
        #expect(
            dataError { try source(["x.npy": x, "y.npy": y]) { $0.table.targets = ["a"] } } != nil)
        let bad = npy("<f4", [4, 2], [1, 2, 3, .nan, 5, 6, 7, 8].littleEndian)
        let error = dataError { try source(["train_x.npy": x, "train_targets.npy": bad]) }
        #expect(error?.kind == .badTarget && error?.what == "target of record 1")
    }

    // MARK: Series

    @Test func seriesAreCutIntoWindows() throws {
        let values = (0..<4 * 2 * 7).map { Float($0) }
        let rowLabels = (0..<28).map { UInt8($0 % 3) }
        for hasRowLabels in [false, true] {
            let y = hasRowLabels ? npy("|u1", [4, 7], rowLabels) : labels
            let source = try source([
                "x.npy": npy("<f4", [4, 2, 7], values.littleEndian), "y.npy": y,
            ]) {
                $0.series = SeriesOptions(length: 3, stride: 2)
            }
            let table = source.scan.training
            #expect(source.scan.shape == [2, 1, 3] && table.count == 12)
            for record in 0..<12 {
                let (series, start) = (record / 3, record % 3 * 2)
                let expected = (0..<2).flatMap { channel in
                    (start..<start + 3).map { Float((series * 2 + channel) * 7 + $0) }
                }
                #expect(try source.floats(record) == expected)
                #expect(
                    table.group(record) == "x.npy#\(series)"
                        && table.interval(record) == start..<start + 3)
                #expect(table.name(record) == "x.npy#\(series)@\(start)")
                #expect(
                    table.labels[record]
                        == (hasRowLabels
                            ? Int32((series * 7 + start + 2) % 3) : [2, 0, 1, 2][series]))
            }
        }
    }

    @Test func seriesThatDoNotFitAreRefused() throws {
        func error(_ shape: [Int], length: Int) -> DataError? {
            let x = npy("|u1", shape, bytes(shape.reduce(1, *)))
            return dataError {
                try source(["x.npy": x, "y.npy": labels]) {
                    $0.series = SeriesOptions(length: length)
                }
            }
        }
        #expect(error([4, 7], length: 7) == nil)
        #expect(error([4, 7], length: 8)?.kind == .emptySet)
        #expect(error([4], length: 1)?.kind == .sizeMismatch)
        #expect(error([4, 1, 2, 3], length: 1)?.kind == .sizeMismatch)
    }

    /// A folder is a class, and a file is a series of any length.
    @Test func seriesLieInFolders() throws {
        func series(_ count: Int, _ first: Int, channels: Int = 2) -> [UInt8] {
            npy(
                "<f8", [channels, count],
                (0..<channels * count).flatMap { Double(first + $0).bitPattern.littleEndianBytes })
        }
        let directory = try TemporaryDirectory()
        try directory.write(series(5, 0), "train/ok/b.npy")
        try directory.write(series(2, 100), "train/ok/a.npy")
        try directory.write(series(4, 200), "train/bad/a.npy")
        try directory.write([1], "train/bad/note.txt")
        try directory.write(series(3, 300), "test/ok/c.npy")
        func read() throws -> ScannedSource {
            try ScannedSource("npy:\(directory.path)") {
                $0.series = SeriesOptions(length: 3, stride: 1)
            }
        }
        let source = try read()
        let table = source.scan.training
        #expect(source.scan.shape == [2, 1, 3] && source.scan.classNames == ["bad", "ok"])
        #expect(table.labels == [0, 0, 1, 1, 1] && source.scan.test.labels == [1])
        #expect(try source.floats(1) == [201, 202, 203, 205, 206, 207])
        #expect(try source.floats(4) == [2, 3, 4, 7, 8, 9])
        #expect(try source.floats(0, .test) == [300, 301, 302, 303, 304, 305])
        #expect(table.name(4) == "train/ok/b.npy@2" && table.group(4) == "train/ok/b.npy")
        #expect(table.interval(4) == 2..<5)
        #expect(
            source.scan.remarks == [
                "\(directory.path): 1 series are shorter than a window of 3 rows and are left out"
            ])
        try directory.write(series(4, 0, channels: 3), "train/ok/c.npy")
        #expect(dataError { try read() }?.what == "channels of a series")
        try directory.write(series(4, 0), "train/ok/c.npy")
        try directory.write(series(4, 0), "test/new/c.npy")
        #expect(dataError { try read() }?.found == "'new'")
    }

    // MARK: Any bytes

    /// For any bytes, reading returns or throws; it never traps.
    @Test func damagedArraysOnlyThrow() throws {
        var random = RandomStream(seed: 31, purpose: .simulation)
        let directory = try TemporaryDirectory()
        let files: [(String, [UInt8])] = [
            ("x_train.npy", npy("<f4", [4, 2, 3], [Float](repeating: 1, count: 24).littleEndian)),
            ("y_train.npy", labels), ("x_test.npy", npy("<f8", [1, 2, 3], bytes(48))),
            ("y_test.npy", npy("|u1", [1], [1])), ("classes.txt", Array("a\nb\nc\n".utf8)),
        ]
        for round in 0..<3000 {
            let damaged = random.next(below: files.count)
            let length = 1 + random.next(below: 3)
            for (index, file) in files.enumerated() {
                try directory.write(
                    index == damaged ? mutated(file.1, &random) : file.1, file.0)
            }
            do {
                try ScannedSource("npy:\(directory.path)") {
                    if round % 3 == 0 { $0.series = SeriesOptions(length: length, stride: 1) }
                }.readAll()
            } catch {
                #expect(error is DataError, "round \(round): \(error)")
                #expect(!"\(error)".contains("\n"))
            }
        }
    }
}
