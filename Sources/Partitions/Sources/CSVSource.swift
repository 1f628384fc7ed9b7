import Glibc
import SafeTensors

/// A table in plain text: a row a record, a header line, and fields between commas or another
/// separator, quoted as RFC 4180 says.
///
/// The location is a file, or a directory with `train.csv` and perhaps `test.csv`. A file with
/// "train" in its name has its test records beside it, under the name with "test" in that place. A
/// column `usage` or `split` of a file that stands alone divides it instead.
///
/// With the option `series` a row is a time step, and the records are windows of rows.
struct CSVSource: RecordSource {
    static let scheme = "csv"
    static let form = "csv:FILE"
    static let summary = "a table with a header line, or a directory with train.csv and test.csv"

    private let location: String
    private let table: TableOptions
    private let series: SeriesOptions?
    private let separator: UInt8

    init(_ specification: DataSpecification) throws(DataError) {
        location = specification.location
        table = specification.options.table
        series = specification.options.series
        guard let byte = table.separator.asciiValue, byte == 9 || (0x20..<0x7F).contains(byte),
            !table.separator.isLetter, !table.separator.isNumber,
            !"\"+-. ".contains(table.separator)
        else {
            throw DataError(
                .badSetting, file: "data.table.separator", what: "character between fields",
                expected: "a comma, a semicolon, a tab or another ASCII mark",
                found: table.separator.debugDescription)
        }
        separator = byte
        try series?.check()
        guard table.targets.isEmpty || table.label == nil else {
            throw DataError(
                .badSetting, file: "data.table", what: "label and targets",
                expected: "one of the two", found: "both")
        }
    }

    func files() throws(DataError) -> FileList {
        var status = stat()
        guard stat(location, &status) == 0 else {
            throw DataError(reading: SystemCallError(path: location, action: "open"))
        }
        var (root, names) = ("", [""])
        if status.st_mode & S_IFMT == S_IFDIR {
            (root, names) = (location, ["train.csv"])
            guard access("\(root)/train.csv", F_OK) == 0 else {
                throw DataError(
                    .unreadable, file: location, what: "tables of the directory",
                    expected: "train.csv and perhaps test.csv", found: "no train.csv",
                    advice: "give the file's name in place of the directory's")
            }
        } else {
            let parts = location.split(separator: "/", omittingEmptySubsequences: false)
            root = parts.dropLast().joined(separator: "/")
            if root.isEmpty { root = location.hasPrefix("/") ? "/" : "." }
            names = [String(parts.last ?? "")]
        }
        let test = names[0].replacingFirst("train", by: "test")
        if test != names[0], access("\(root)/\(test)", F_OK) == 0 { names.append(test) }
        return FileList(root: root, names: names)
    }

    func scan(_ files: FileList) throws(DataError) -> SourceScan {
        var tables: [DelimitedReader] = []
        var sources: [SourceFile] = []
        var plan: CSVPlan?
        for index in 0..<files.count {
            let file = try files.open(index)
            let reader = try DelimitedReader(file, separator: separator)
            guard try reader.next() else {
                throw DataError(
                    .emptySet, file: file.name, what: "header line",
                    expected: "the names of the columns", found: "an empty file")
            }
            let header = try CSVPlan.header(reader, file: file.name)
            if let plan {
                try plan.requireSame(header, file: file.name, line: reader.line)
            } else {
                plan = try CSVPlan(
                    header, table, series, file: file.name, line: reader.line,
                    isAlone: files.count == 1)
            }
            tables.append(reader)
            sources.append(file)
        }
        guard let plan else { preconditionFailure("a list of files has at least one") }
        var scan =
            if let series {
                try CSVSeriesReader.scan(plan, sources, tables, series)
            } else { try rows(plan, sources, tables) }
        scan.remarks = plan.remarks + scan.remarks
        if files.count > 1 { scan.remarks.append("\(files.fullName(1)): the test records") }
        return scan
    }

    /// Finds the records, a row each.
    private func rows(
        _ plan: CSVPlan, _ files: [SourceFile], _ readers: [DelimitedReader]
    ) throws(DataError) -> SourceScan {
        var plan = plan
        var texts = LabelTexts()
        var drafts: [CSVTable.Draft] = []
        for (index, file) in files.enumerated() {
            let reader = readers[index]
            var sides = [CSVTable.Draft(file), CSVTable.Draft(file)]
            var rowNumber = 0
            while try reader.next() {
                if !plan.hasLayout { try plan.setLayout(reader, file: file.name) }
                var side = index
                if plan.usage != nil, let isTest = plan.isTest(reader.row, reader.bytes) {
                    side = isTest ? 1 : 0
                }
                try sides[side].add(reader, row: rowNumber, plan, &texts)
                rowNumber += 1
            }
            drafts += files.count == 1 ? sides : [sides[index]]
            try file.requireUnchanged()
        }
        guard drafts[0].count > 0 else {
            throw DataError(
                .emptySet, file: files[0].name, what: "training records", expected: "at least 1",
                found: "0")
        }
        let classes = plan.targets.isEmpty ? try texts.classes() : nil
        let tables = drafts.map { CSVTable($0, plan, separator, labels: classes?.labels) }
        var scan = SourceScan(
            name: files[0].stem, shape: plan.shape, elementType: plan.elementType,
            classNames: classes?.names, targetCount: classes == nil ? plan.targets.count : nil,
            training: tables[0], test: tables[1])
        if let remark = classes?.remark { scan.remarks.append(remark) }
        return scan
    }
}

/// The rows of one split, by their places in a file.
///
/// Memory: 12 bytes a row, and 4 more where a column divides the file; the labels or targets.
final class CSVTable: RecordTable {
    /// A table that is being found.
    struct Draft {
        let file: SourceFile
        /// Of each row, the offset in 40 bits and the number of bytes in 24.
        var places: [UInt64] = []
        /// The number of each label's text.
        var labels: [Int32] = []
        var targets: [Float] = []
        /// The number of each row in the file; empty while it equals the record's.
        var rows: [UInt32] = []
        var lines = LineNumbers()

        var count: Int { places.count }

        init(_ file: SourceFile) { self.file = file }

        /// Appends the current row. A row that cannot be decoded gets label 0; reading it throws.
        mutating func add(
            _ reader: DelimitedReader, row: Int, _ plan: CSVPlan, _ texts: inout LabelTexts
        ) throws(DataError) {
            guard reader.offset < 1 << 40, row < UInt32.max else {
                throw DataError(
                    .badRecord, file: file.name, what: "size",
                    expected: "at most 1 TiB and \(UInt32.max) rows", found: "more",
                    advice: "cut it into several data sets")
            }
            if row != count, rows.isEmpty { rows = (0..<UInt32(count)).map { $0 } }
            if row != count || !rows.isEmpty { rows.append(UInt32(row)) }
            lines.append(reader.line)
            places.append(UInt64(reader.offset) << 24 | UInt64(reader.byteCount))
            var label: Int32 = 0
            do throws(DataError) {
                try plan.check(reader.row, reader.bytes, file: file.name, line: reader.line)
                if plan.targets.isEmpty {
                    label = try texts.add(
                        reader.text(plan.label), file: file.name, place: "line \(reader.line)")
                } else {
                    for column in plan.targets {
                        targets.append(
                            try plan.number(
                                reader.text(column), column, file: file.name, line: reader.line))
                    }
                }
            } catch {
                guard error.kind == .badRecord else { throw error }
                let missing = places.count * plan.targets.count - targets.count
                targets += [Float](repeating: 0, count: missing)
            }
            if plan.targets.isEmpty { labels.append(label) }
        }
    }

    let labels: [Int32]
    let targets: [Float]
    private let file: SourceFile
    private let places: [UInt64]
    private let rows: [UInt32]
    private let lines: LineNumbers
    private let plan: CSVPlan
    private let separator: UInt8

    /// Creates a table.
    ///
    /// - Parameter labels: the label of each text.
    init(_ draft: Draft, _ plan: CSVPlan, _ separator: UInt8, labels: [Int32]?) {
        file = draft.file
        places = draft.places
        rows = draft.rows
        lines = draft.lines
        targets = draft.targets
        // Where no row can be decoded there is no text, and all labels are 0.
        let ofTexts = labels.flatMap { $0.isEmpty ? nil : $0 } ?? [0]
        self.labels = draft.labels.map { ofTexts[Int($0)] }
        self.plan = plan
        self.separator = separator
    }

    var count: Int { places.count }

    func name(_ record: Int) -> String {
        "\(file.shortName)#\(rows.isEmpty ? record : Int(rows[record]))"
    }

    func reader() -> any RecordReader { Reader(self) }

    private final class Reader: RecordReader {
        private let table: CSVTable
        private var row = DelimitedRow()
        private var buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)

        init(_ table: CSVTable) { self.table = table }

        deinit { buffer.deallocate() }

        func read(_ record: Int, into elements: UnsafeMutableRawPointer) throws(DataError) {
            let place = table.places[record]
            let byteCount = Int(place & 0xFF_FFFF)
            // One byte behind the text stays readable, for the reader of numbers.
            if buffer.count <= byteCount {
                buffer.deallocate()
                buffer = .allocate(byteCount: max(4096, 2 * byteCount + 1), alignment: 16)
            }
            let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer[..<byteCount])
            let file = table.file
            let line = table.lines[record]
            let count = try file.read(into: bytes, at: Int(place >> 24))
            buffer[count] = 0
            guard count == byteCount,
                row.split(bytes, from: 0, separator: table.separator, isEnd: true) == byteCount
            else { throw SourceFile.changed(file.name) }
            let plan = table.plan
            try plan.check(row, bytes, file: file.name, line: line)
            for column in plan.targets {
                _ = try plan.number(
                    row.text(column, in: bytes), column, file: file.name, line: line)
            }
            if plan.targets.isEmpty {
                try LabelTexts.check(
                    row.text(plan.label, in: bytes), file: file.name, place: "line \(line)")
            }
            try plan.decode(row, bytes, into: elements, file: file.name, line: line)
        }
    }
}

/// The lines of rows, most of which are one line.
struct LineNumbers {
    /// The rows that do not lie one line behind the row before, and their lines.
    private var rows: [Int] = []
    private var lines: [Int] = []
    private var count = 0
    private var last = Int.min

    /// Appends the line of the next row.
    mutating func append(_ line: Int) {
        if line != last + 1 {
            rows.append(count)
            lines.append(line)
        }
        last = line
        count += 1
    }

    /// Returns the line of a row.
    subscript(_ row: Int) -> Int {
        let index = rows.lastPlace(notAbove: row)
        return lines[index] + row - rows[index]
    }
}

extension SourceFile {
    /// The last part of the path.
    var shortName: String { name.split(separator: "/").last.map(String.init) ?? name }

    /// The last part of the path without what follows its last point.
    var stem: String {
        let name = shortName
        guard let point = name.lastIndex(of: "."), point > name.startIndex else { return name }
        return String(name[..<point])
    }
}

extension String {
    /// Returns this text with the first occurrence of another replaced; itself when there is none.
    func replacingFirst(_ text: String, by other: String) -> String {
        guard let range = firstRange(of: text) else { return self }
        return String(self[..<range.lowerBound]) + other + String(self[range.upperBound...])
    }
}
