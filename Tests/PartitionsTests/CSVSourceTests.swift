import CounterRandom
import Partitions
import TestSupport
import Testing

@Suite struct CSVSourceTests {
    private func source(
        _ text: String, test: String? = nil, _ change: (inout SourceOptions) -> Void = { _ in }
    ) throws -> ScannedSource {
        let directory = try TemporaryDirectory()
        try directory.write(text, "train.csv")
        if let test { try directory.write(test, "test.csv") }
        let source = try ScannedSource("csv:\(directory.path)", change)
        // The files are open, so they can be read after the directory is gone.
        withExtendedLifetime(directory) {}
        return source
    }

    // MARK: Numbers

    @Test func columnsAreElements() throws {
        let source = try source("a,label,b\n1,0,2.5\n-3e2,2,0.1\n+.5,1,7.\n")
        #expect(source.scan.shape == [2, 1, 1] && source.scan.elementType == .F32)
        #expect(source.scan.training.labels == [0, 2, 1])
        #expect(source.scan.classNames == nil && source.scan.classCount == nil)
        #expect(try source.floats(0) == [1, 2.5])
        #expect(try source.floats(1) == [-300, 0.1])
        #expect(try source.floats(2) == [0.5, 7])
        #expect(source.scan.training.name(1) == "train.csv#1")
        #expect(source.scan.name == "train" && source.scan.test.count == 0)
    }

    /// Python's `float`, rounded by NumPy to float32, gives these bits.
    @Test(
        arguments: [
            ("0.1", 0x3DCC_CCCD), ("3.4028235e38", 0x7F7F_FFFF), ("-0", 0x8000_0000),
            ("1.1754943508222875e-38", 0x0080_0000), ("1e-45", 0x0000_0001), ("1e-400", 0),
            ("0.30000001192092896", 0x3E99_999A), ("16777217", 0x4B80_0000),
            ("123456789012345678901234567890", 0x6FC7_7488),
            ("0.00000000000000000000000000000000000001", 0x006C_E3EE),
            (" 2 ", 0x4000_0000), ("\"4\"", 0x4080_0000), ("9007199254740993", 0x5A00_0000),
        ] as [(String, UInt32)])
    func numbersAreTheNearest(text: String, bits: UInt32) throws {
        let source = try source("x,label\n\(text),0\n")
        #expect(try source.floats(0)[0].bitPattern == bits)
    }

    /// Every number is what the standard library makes of it.
    @Test func randomNumbersAreTheNearest() throws {
        var random = RandomStream(seed: 3, purpose: .simulation)
        var texts: [String] = []
        for _ in 0..<4000 {
            let digits = (0..<1 + random.next(below: 24)).map { _ in "\(random.next(below: 10))" }
            let point = random.next(below: digits.count + 1)
            var text = digits[..<point].joined() + "." + digits[point...].joined()
            if random.next(below: 2) == 0 { text += "e\(random.next(below: 34) - 20)" }
            texts.append(random.next(below: 2) == 0 ? "-\(text)" : text)
        }
        let source = try source("x,label\n" + texts.map { "\($0),0\n" }.joined())
        for (record, text) in texts.enumerated() {
            // Swift wants a digit before the point.
            let padded = text.replacing("-.", with: "-0.")
            let number = Float(Double((padded.first == "." ? "0" : "") + padded)!)
            #expect(try source.floats(record)[0].bitPattern == number.bitPattern, "\(text)")
        }
    }

    @Test(arguments: [
        ("nan", "a finite number"), ("inf", "a finite number"), ("0x1p3", "a finite number"),
        ("", "a finite number"), ("1 2", "a finite number"), ("1e", "a finite number"),
        (".", "a finite number"), ("\"0,5\"", "a finite number"), ("--1", "a finite number"),
        ("1e39", "a number of single precision"), ("1_000", "a finite number"),
    ])
    func otherTextsAreRefused(text: String, expected: String) throws {
        let source = try source("x,label\n1,0\n\n\(text),0\n3,1\n")
        #expect(source.scan.training.count == 3)
        let error = dataError { try source.floats(1) }
        #expect(error?.kind == .badRecord && error?.expected == expected)
        #expect(error?.file.hasSuffix("train.csv") == true)
        #expect(error?.what == "line 4, column 'x'")
        if text.contains(",") { #expect(error?.advice == "write decimals with a point") }
        #expect(try source.floats(2) == [3])
    }

    // MARK: Text

    @Test(arguments: ["\n", "\r\n"], [true, false])
    func quotesAndLineEnds(end: String, endsWithLine: Bool) throws {
        let mark = endsWithLine ? "\u{FEFF}" : ""
        let lines = [
            "\"a\",\"the \"\"label\"\"\",\"b\"", "1,\"x, y\",2", "\"3\",\"say \"\"hi\"\"\",4",
            "5,\"two\(end)lines\",6", "7,x y,8",
        ]
        let text = mark + lines.joined(separator: end) + (endsWithLine ? end : "")
        let source = try source(text) { $0.table.label = "the \"label\"" }
        #expect(source.scan.classNames == ["say \"hi\"", "two\(end)lines", "x y", "x, y"].sorted())
        #expect(source.scan.training.count == 4)
        for record in 0..<4 {
            #expect(try source.floats(record) == [Float(2 * record + 1), Float(2 * record + 2)])
        }
    }

    @Test func linesAreCountedThroughQuotesAndBlanks() throws {
        let source = try source("a,label\n\n1,\"x\ny\"\n\r\n\n2,z\nbad,z\n3,z\nworse,z\n")
        #expect(dataError { try source.floats(2) }?.what == "line 8, column 'a'")
        #expect(dataError { try source.floats(4) }?.what == "line 10, column 'a'")
        #expect(try source.floats(3) == [3])
    }

    @Test(arguments: [
        ("1,2", "line 3, fields", "3", "2"), ("1,0,2,9", "line 3, fields", "3", "4"),
        ("1,0,\"2", "line 3, column 3", "a closing quote", "the end of the file"),
        ("1,0,\"2\"x", "line 3, column 3", "a separator behind a quoted field", "more text"),
        ("1,0,2\"", "line 3, column 3", "no quote within a field", "one"),
        ("1,0,2\r3", "line 3, column 3", "a line feed behind a carriage return", "other text"),
        ("1,,2", "line 3, label", "1 to 256 bytes", "0"),
    ])
    func brokenRowsAreNamed(row: String, what: String, expected: String, found: String) throws {
        let error = dataError {
            let source = try source("a,label,b\n1,0,2\n\(row)\n")
            #expect(try source.floats(0) == [1, 2])
            return try source.floats(1)
        }
        #expect(error?.kind == .badRecord && error?.what == what)
        #expect(error?.expected == expected && error?.found == found)
    }

    @Test(
        arguments: [
            ([0x1F, 0x8B, 8, 0], "a gzip file"), ([0xFF, 0xFE, 0x61, 0], "UTF-16"),
            ([0x50, 0x4B, 3, 4], "a spreadsheet or another zip file"),
        ] as [([UInt8], String)])
    func otherFormatsAreNamed(bytes: [UInt8], found: String) throws {
        let directory = try TemporaryDirectory()
        try directory.write(bytes, "x.csv")
        let error = dataError { try ScannedSource("csv:\(directory.path)/x.csv") }
        #expect(error?.found == found && error?.advice.isEmpty == false)
    }

    /// Rows cross the ends of the reader's buffer at every place.
    @Test func longTablesAreRead() throws {
        var text = "a,label,b\n"
        for row in 0..<40_000 { text += "\(row),\"c\(row % 3)\",\(row * 7 % 1000).5\n" }
        let source = try source(text)
        #expect(source.scan.training.count == 40_000)
        #expect(source.scan.training.labels == (0..<40_000).map { Int32($0 % 3) })
        for row in stride(from: 0, to: 40_000, by: 37) {
            #expect(try source.floats(row) == [Float(row), Float(row * 7 % 1000) + 0.5])
        }
    }

    @Test func longRowsAreRead() throws {
        let names = (0..<200_000).map { "c\($0)" }
        let row = (0..<200_000).map { "\($0 % 251)" }.joined(separator: ";")
        let text = "label;" + names.joined(separator: ";") + "\n3;\(row)\n1;\(row)\n"
        let directory = try TemporaryDirectory()
        try directory.write(text, "wide.csv")
        let error = dataError {
            try ScannedSource("csv:\(directory.path)/wide.csv") { $0.table.separator = ";" }
        }
        #expect(
            error?.kind == .badSetting
                && error?.expected == "three numbers [C, H, W] from 1 to 65535")
        let source = try ScannedSource("csv:\(directory.path)/wide.csv") {
            $0.table.separator = ";"
            $0.table.shape = [2, 1000, 100]
        }
        #expect(try source.floats(1) == (0..<200_000).map { Float($0 % 251) })
        let long = "a,label\n\"" + String(repeating: "x", count: 17 << 20) + "\",1\n"
        try directory.write(long, "long.csv")
        let tooLong = dataError { try ScannedSource("csv:\(directory.path)/long.csv") }
        #expect(tooLong?.kind == .badRecord && tooLong?.what == "line 2")
    }

    // MARK: Columns

    @Test func columnsAreChosenInOrder() throws {
        let text = "id,a,b,c,label\n9,1,2,3,0\n"
        #expect(try source(text).floats(0) == [9, 1, 2, 3])
        let chosen = try source(text) { $0.table.columns = ["c", "a"] }
        #expect(try chosen.floats(0) == [3, 1])
        let shaped = try source(text) { $0.table.shape = [1, 2, 2] }
        #expect(shaped.scan.shape == [1, 2, 2])
        let targets = try source(text) {
            $0.table.targets = ["b", "label"]
            $0.table.columns = ["a"]
        }
        #expect(targets.scan.targetCount == 2 && targets.scan.training.targets == [2, 0])
        #expect(targets.scan.training.labels.isEmpty)
    }

    @Test func nameslessColumnsAreLeftOut() throws {
        let source = try source(",a,label\n0,5,1\n")
        #expect(source.scan.shape == [1, 1, 1])
        #expect(source.scan.remarks.count == 1)
    }

    @Test(arguments: [
        ("a,b\n1,2\n", "'label'", "'a', 'b'"), ("a,a,label\n1,2,0\n", "a name of its own", ""),
        ("label\n0\n", "at least 1 beside the label", "'label'"),
        ("", "the names of the columns", ""),
        ("label,a\n", "at least 1", "0"), ("label;a\n0;1\n", "'label'", "'label;a'"),
    ])
    func badHeadersAreNamed(text: String, expected: String, found: String) throws {
        let error = dataError { try source(text) }
        #expect(error?.expected == expected)
        #expect(found.isEmpty || error?.found == found)
    }

    @Test(arguments: ["a", "1", "\"", "\n", "é", " ", "-"] as [Character])
    func badSeparatorsAreRefused(separator: Character) throws {
        let error = dataError { try source("a,label\n1,0\n") { $0.table.separator = separator } }
        #expect(error?.kind == .badSetting)
    }

    // MARK: Labels

    @Test func labelsOfBothSplitsAreOneList() throws {
        let source = try source(
            "x,label\n1,pear\n2,apple\n", test: "x,label\n3,fig\n4, apple \n")
        #expect(source.scan.classNames == ["apple", "fig", "pear"])
        #expect(source.scan.training.labels == [2, 0] && source.scan.test.labels == [1, 0])
        #expect(try source.floats(1, .test) == [4])
        #expect(source.scan.test.name(0) == "test.csv#0")
    }

    @Test func numbersAmongNamesAreNames() throws {
        let source = try source("x,label\n1,7\n2,A\n")
        #expect(source.scan.classNames == ["7", "A"])
        #expect(source.scan.remarks.count == 1)
        #expect(try self.source("x,label\n1,2.0\n2,1\n").scan.training.labels == [2, 1])
    }

    @Test(arguments: ["-1", "65536", "99999999999999999999999"])
    func wholeNumbersOutOfRangeAreRefused(label: String) throws {
        let error = dataError { try source("x,label\n1,0\n2,\(label)\n") }
        #expect(error?.kind == .labelOutOfRange && error?.found == label)
        #expect(error?.file.hasSuffix("train.csv, line 3") == true)
    }

    @Test func tooManyClassesAreRefused() throws {
        let rows = (0..<65_537).map { "1,n\($0)\n" }.joined()
        #expect(dataError { try source("x,label\n\(rows)") }?.kind == .labelOutOfRange)
    }

    // MARK: Splits

    @Test func headersMustAgree() throws {
        let text = "a,b,label\n1,2,0\n"
        let error = dataError { try source(text, test: "a,c,label\n1,2,0\n") }
        #expect(error?.what == "line 1, column 2" && error?.found == "'c'")
        let short = dataError { try source(text, test: "a,b\n1,2\n") }
        #expect(short?.what == "line 1, column 3" && short?.found == "no more columns")
    }

    @Test func aColumnDividesTheRows() throws {
        let source = try source(
            "label,x,Usage\n0,1,Training\n1,2,PublicTest\n0,3,train\n1,4,PrivateTest\n0,5,other\n")
        #expect(source.scan.shape == [1, 1, 1])
        #expect(source.scan.training.count == 3 && source.scan.test.count == 2)
        #expect(try source.floats(1) == [3] && source.floats(1, .test) == [4])
        #expect(source.scan.training.name(1) == "train.csv#2")
        #expect(source.scan.test.name(1) == "train.csv#3")
        let error = dataError { try source.floats(2) }
        #expect(error?.what == "line 6, column 'Usage'" && error?.found == "'other'")
    }

    @Test func filesBesideEachOther() throws {
        let directory = try TemporaryDirectory()
        try directory.write("x,label\n1,0\n", "my-train.csv")
        try directory.write("x,label\n2,0\n", "my-test.csv")
        let source = try ScannedSource("csv:\(directory.path)/my-train.csv")
        #expect(try source.floats(0, .test) == [2])
        #expect(try ScannedSource("csv:\(directory.path)/my-test.csv").scan.test.count == 0)
        #expect(dataError { try ScannedSource("csv:\(directory.path)") }?.kind == .unreadable)
        #expect(
            dataError { try ScannedSource("csv:\(directory.path)/no.csv") }?.kind == .unreadable)
    }

    // MARK: Pixels

    @Test func pixelColumnsAreBytes() throws {
        let header = "label," + (1...9).map { "pixel\($0)" }.joined(separator: ",")
        let source = try source("\(header)\n4,0,1,2,3,4,5,6,255,8\n4,0,1,2,3,4,5,6,256,8\n")
        #expect(source.scan.shape == [1, 3, 3] && source.scan.elementType == .U8)
        #expect(try source.bytes(0) == [0, 1, 2, 3, 4, 5, 6, 255, 8])
        let error = dataError { try source.bytes(1) }
        #expect(error?.what == "line 3, column 'pixel8'" && error?.found == "'256'")
        let other = dataError { try self.source("label,pixel0,pixel1\n0,1,2\n") }
        #expect(other?.kind == .sizeMismatch && other?.expected == "a square number")
        let shaped = try self.source("label,pixel0,pixel1\n0,1.0, 2\n") {
            $0.table.shape = [2, 1, 1]
        }
        #expect(try shaped.bytes(0) == [1, 2])
        for text in ["1.5", "-1", "x", "", "1e3"] {
            let source = try self.source("label,pixel0\n0,\(text)\n")
            #expect(dataError { try source.bytes(0) }?.kind == .badRecord, "\(text)")
        }
    }

    /// The layout of FER-2013.
    @Test func pixelsInOneColumn() throws {
        let source = try source(
            "emotion,pixels,Usage\n3,70 80 82 255,Training\n0,1 2 3  4 ,PublicTest\n"
                + "1,1 2 3,Training\n1,1 2 3 4 5,Training\n2,1 2 x 4,Training\n"
        ) { $0.table.label = "emotion" }
        #expect(source.scan.shape == [1, 2, 2] && source.scan.elementType == .U8)
        #expect(
            try source.bytes(0) == [70, 80, 82, 255] && source.bytes(0, .test) == [1, 2, 3, 4])
        for record in 1...3 {
            #expect(
                dataError { try source.bytes(record) }?.what
                    == "line \(record + 3), column 'pixels'")
        }
    }

    // MARK: Any bytes

    /// For any bytes, reading returns or throws; it never traps.
    @Test func damagedTablesOnlyThrow() throws {
        var random = RandomStream(seed: 21, purpose: .simulation)
        let directory = try TemporaryDirectory()
        let texts = [
            "a,label,b\r\n1,0,2.5\r\n\"-3e2\",\"2\",0.1\n+.5,1,7.\n",
            "label,pixel1,pixel2,pixel3,pixel4,split\n"
                + "\"a \"\"b\"\"\",0,1,2,3,train\nc,4,5,6,7,test\n",
            "emotion,pixels,Usage\n3,70 80 82 255,Training\n0,1 2 3 4,PublicTest\n",
            "id,t,x,label\na,1,0.5,1\na,2,0.25,1\na,3,1,0\nb,1,7,0\nb,2,8,0\n",
        ]
        for round in 0..<3000 {
            let kind = random.next(below: texts.count)
            try directory.write(mutated(Array(texts[kind].utf8), &random), "train.csv")
            do {
                try ScannedSource("csv:\(directory.path)") {
                    if kind == 2 { $0.table.label = "emotion" }
                    if kind == 3 {
                        $0.series = SeriesOptions(length: 2, stride: 1)
                        $0.series?.by = "id"
                        $0.series?.time = "t"
                        $0.series?.labelAt = random.next(below: 2) == 0 ? .last : .majority
                    }
                }.readAll()
            } catch {
                #expect(error is DataError, "round \(round): \(error)")
                #expect(!"\(error)".contains("\n"))
            }
        }
    }
}
