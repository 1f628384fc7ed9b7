/// What the columns of a table are, and how a row becomes a record.
struct CSVPlan: Sendable {
    /// How the elements of a record are written.
    enum Layout: Sendable {
        /// A number a column; they are stored as single-precision numbers.
        case numbers
        /// A whole number from 0 to 255 a column.
        case bytes
        /// All whole numbers from 0 to 255 in one column, with blanks between them.
        case byteList
    }

    /// The names of all columns.
    let header: [String]
    /// The columns with the elements, in their order.
    let columns: [Int]
    /// The column with the label; it has no meaning for records with targets.
    let label: Int
    let targets: [Int]
    /// The column that divides the rows into training and test records.
    let usage: Int?
    /// The columns with the name of the series and with the time.
    let by: Int?
    let time: Int?
    let layout: Layout
    /// The shape [C, H, W]; empty until a row has shown it.
    private(set) var shape: [Int]
    let remarks: [String]

    var elementType: DataSetDescription.ElementType { layout == .numbers ? .F32 : .U8 }
    var elementCount: Int { shape.reduce(1, *) }
    /// Whether the shape is known.
    var hasLayout: Bool { !shape.isEmpty }

    // MARK: Header

    /// Returns the names of the current row.
    static func header(
        _ reader: DelimitedReader, file: String
    ) throws(DataError) -> [String] {
        if let flaw = reader.row.flaw {
            throw DataError(
                .badRecord, file: file, what: "line \(reader.line), column \(flaw.column + 1)",
                expected: flaw.expected, found: flaw.found)
        }
        var names: [String] = []
        for index in 0..<reader.row.count {
            let text = reader.text(index).trimmed
            guard let name = String(validating: text, as: UTF8.self) else {
                throw DataError(
                    .badRecord, file: file, what: "line \(reader.line), column \(index + 1)",
                    expected: "a name in UTF-8", found: "other bytes")
            }
            names.append(name)
        }
        var known: Set<String> = []
        for (index, name) in names.enumerated() where !name.isEmpty {
            guard known.insert(name).inserted else {
                throw DataError(
                    .badRecord, file: file, what: "line \(reader.line), column \(index + 1)",
                    expected: "a name of its own", found: "'\(name)' for the second time")
            }
        }
        return names
    }

    /// Decides what the columns are.
    ///
    /// - Parameters:
    ///   - isAlone: whether the file has no other one with its test records.
    /// - Throws: `badSetting` for a column that is not there.
    init(
        _ header: [String], _ options: TableOptions, _ series: SeriesOptions?, file: String,
        line: Int, isAlone: Bool
    ) throws(DataError) {
        func find(_ name: String, _ setting: String) throws(DataError) -> Int {
            if let index = header.firstIndex(of: name) { return index }
            throw DataError(
                .badSetting, file: file, what: "line \(line), column of \(setting)",
                expected: "'\(name)'", found: Self.list(header),
                advice: "name a column of the file, and check data.table.separator")
        }
        self.header = header
        var remarks: [String] = []
        targets = try options.targets.map { (name) throws(DataError) in
            try find(name, "data.table.targets")
        }
        label =
            try targets.isEmpty
            ? find(options.label ?? "label", "data.table.label") : -1
        by = try series?.by.map { (name) throws(DataError) in try find(name, "data.series.by") }
        time = try series?.time.map { (name) throws(DataError) in try find(name, "data.series.time")
        }
        let special = Set([label] + targets + [by, time].compactMap { $0 })
        let usage = header.indices.first { index in
            ["usage", "split"].contains(header[index].lowercased()) && !special.contains(index)
                && !options.columns.contains(header[index])
        }
        self.usage = isAlone ? usage : nil
        if options.columns.isEmpty {
            let unnamed = header.indices.filter { header[$0].isEmpty }
            if !unnamed.isEmpty {
                let numbers = unnamed.map { "\($0 + 1)" }.joined(separator: ", ")
                remarks.append("\(file): column \(numbers) has no name and is left out")
            }
            columns = header.indices.filter {
                !special.contains($0) && $0 != usage && !header[$0].isEmpty
            }
        } else {
            columns = try options.columns.map { (name) throws(DataError) in
                try find(name, "data.table.columns")
            }
            guard Set(columns).count == columns.count, special.isDisjoint(with: columns) else {
                throw DataError(
                    .badSetting, file: "data.table.columns", what: "columns with elements",
                    expected: "each once, and no column of a label, target, series or time",
                    found: Self.list(options.columns))
            }
        }
        guard !columns.isEmpty else {
            throw DataError(
                .badSetting, file: file, what: "line \(line), columns with elements",
                expected: "at least 1 beside the label", found: Self.list(header))
        }
        self.remarks = remarks
        let names = columns.map { header[$0].lowercased() }
        if series != nil {
            layout = .numbers
            shape = [columns.count, 1, 1]
            guard options.shape == nil else {
                throw DataError(
                    .badSetting, file: "data.table.shape", what: "shape of windows",
                    expected: "none, for it is [columns, 1, length]", found: "\(options.shape!)")
            }
        } else if names == ["pixels"] {
            layout = .byteList
            shape = options.shape ?? []
        } else {
            layout = names.allSatisfy(Self.isPixel) ? .bytes : .numbers
            shape = options.shape ?? (layout == .numbers ? [columns.count, 1, 1] : [])
            if shape.isEmpty { shape = try Self.square(columns.count, file: file, line: line) }
        }
        if hasLayout { try requireShape(file: file, line: line) }
    }

    /// Whether a name is "pixel" and a number.
    private static func isPixel(_ name: String) -> Bool {
        name.hasPrefix("pixel") && name.count > 5
            && name.dropFirst(5).allSatisfy { $0.isASCII && $0.isNumber }
    }

    /// Returns the shape [1, H, H] of so many pixels.
    private static func square(_ count: Int, file: String, line: Int) throws(DataError) -> [Int] {
        let side = Int(Double(count).squareRoot())
        guard side > 0, side * side == count else {
            throw DataError(
                .sizeMismatch, file: file, what: "line \(line), number of pixels",
                expected: "a square number", found: "\(count)",
                advice: "give data.table.shape, for instance [3, 32, 32]")
        }
        return [1, side, side]
    }

    private func requireShape(file: String, line: Int) throws(DataError) {
        guard shape.count == 3, shape.allSatisfy({ (1...65_535).contains($0) }) else {
            throw DataError(
                .badSetting, file: "data.table.shape", what: "shape of a record",
                expected: "three numbers [C, H, W] from 1 to 65535", found: "\(shape)")
        }
        // Three numbers of 16 bits have a product of at most 48 bits.
        guard layout == .byteList || elementCount == columns.count else {
            throw DataError(
                .sizeMismatch, file: file, what: "line \(line), columns with elements",
                expected: "\(elementCount) for the shape \(shape)", found: "\(columns.count)")
        }
        guard elementCount <= DelimitedReader.maximumRowByteCount else {
            throw DataError(
                .badSetting, file: "data.table.shape", what: "elements of a record",
                expected: "at most \(DelimitedReader.maximumRowByteCount)", found: "\(elementCount)"
            )
        }
    }

    /// Takes the number of pixels from the first row.
    mutating func setLayout(_ reader: DelimitedReader, file: String) throws(DataError) {
        try check(reader.row, reader.bytes, file: file, line: reader.line)
        var count = 0
        var isInside = false
        for byte in reader.text(columns[0]) {
            let isBlank = byte == 0x20
            if !isBlank, !isInside { count += 1 }
            isInside = !isBlank
        }
        shape = try Self.square(count, file: file, line: reader.line)
        try requireShape(file: file, line: reader.line)
    }

    /// Throws unless another file has the same columns.
    func requireSame(_ other: [String], file: String, line: Int) throws(DataError) {
        for index in 0..<max(header.count, other.count) {
            let expected = index < header.count ? "'\(header[index])'" : "no more columns"
            let found = index < other.count ? "'\(other[index])'" : "no more columns"
            guard expected == found else {
                throw DataError(
                    .sizeMismatch, file: file, what: "line \(line), column \(index + 1)",
                    expected: "\(expected), as in the training records", found: found)
            }
        }
    }

    /// A list of columns for errors.
    static func list(_ names: [String]) -> String {
        names.prefix(20).map { "'\($0)'" }.joined(separator: ", ")
            + (names.count > 20 ? " and \(names.count - 20) more" : "")
    }

    // MARK: Rows

    /// Throws unless a row has the table's columns and no flaw, and belongs to a split.
    func check(
        _ row: DelimitedRow, _ bytes: UnsafeMutableRawBufferPointer, file: String, line: Int
    ) throws(DataError) {
        if let flaw = row.flaw {
            throw DataError(
                .badRecord, file: file, what: "line \(line), column \(flaw.column + 1)",
                expected: flaw.expected, found: flaw.found)
        }
        guard row.count == header.count else {
            throw DataError(
                .badRecord, file: file, what: "line \(line), fields",
                expected: "\(header.count)", found: "\(row.count)",
                advice: row.count < header.count
                    ? "fill in the missing field" : "put a field with a separator in it in quotes")
        }
        if let usage, isTest(row, bytes) == nil {
            throw bad(
                row.text(usage, in: bytes), usage, file: file, line: line,
                "a word that begins with train, val or dev, or has test in it")
        }
    }

    /// Whether a row is a test record; nil where the column that divides the rows does not say.
    func isTest(_ row: DelimitedRow, _ bytes: UnsafeMutableRawBufferPointer) -> Bool? {
        guard let usage, usage < row.count else { return nil }
        let text = row.text(usage, in: bytes).trimmed.prefix(64)
        let word = String(decoding: text, as: UTF8.self).lowercased()
        if word.hasPrefix("train") { return false }
        if word.contains("test") || word.hasPrefix("val") || word.hasPrefix("dev") { return true }
        return nil
    }

    /// Returns the number in a field.
    func number(
        _ text: UnsafeRawBufferPointer, _ column: Int, file: String, line: Int
    ) throws(DataError) -> Float {
        var flaw = DecimalText.Flaw.form
        if let number = DecimalText.float(text, flaw: &flaw) { return number }
        throw bad(
            text, column, file: file, line: line,
            flaw == .form ? "a finite number" : "a number of single precision")
    }

    /// Returns the error of a field.
    func bad(
        _ text: UnsafeRawBufferPointer, _ column: Int, file: String, line: Int, _ expected: String
    ) -> DataError {
        let shown = String(decoding: text.prefix(40), as: UTF8.self)
        var advice = ""
        if text.trimmed.isEmpty {
            advice = "fill in the missing value or leave the row out"
        } else if text.contains(UInt8(ascii: ",")) {
            advice = "write decimals with a point"
        }
        return DataError(
            .badRecord, file: file, what: "line \(line), column '\(header[column])'",
            expected: expected, found: text.isEmpty ? "nothing" : "'\(shown)'", advice: advice)
    }

    /// Decodes a row that has the table's columns.
    func decode(
        _ row: DelimitedRow, _ bytes: UnsafeMutableRawBufferPointer,
        into elements: UnsafeMutableRawPointer, file: String, line: Int
    ) throws(DataError) {
        switch layout {
        case .numbers:
            let floats = elements.assumingMemoryBound(to: Float.self)
            for (index, column) in columns.enumerated() {
                floats[index] = try number(
                    row.text(column, in: bytes), column, file: file, line: line)
            }
        case .bytes:
            for (index, column) in columns.enumerated() {
                let text = row.text(column, in: bytes)
                guard let byte = Self.byte(text) else {
                    throw bad(text, column, file: file, line: line, "a whole number from 0 to 255")
                }
                elements.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
            }
        case .byteList:
            let column = columns[0]
            let text = row.text(column, in: bytes)
            var count = 0
            var start = 0
            while start < text.count {
                if text[start] == 0x20 {
                    start += 1
                    continue
                }
                var end = start
                while end < text.count, text[end] != 0x20 { end += 1 }
                let part = UnsafeRawBufferPointer(rebasing: text[start..<end])
                guard let byte = Self.byte(part) else {
                    throw bad(part, column, file: file, line: line, "whole numbers from 0 to 255")
                }
                if count < elementCount {
                    elements.storeBytes(of: byte, toByteOffset: count, as: UInt8.self)
                }
                count += 1
                start = end
            }
            guard count == elementCount else {
                throw DataError(
                    .badRecord, file: file, what: "line \(line), column '\(header[column])'",
                    expected: "\(elementCount) numbers", found: "\(count)")
            }
        }
    }

    /// Returns a whole number from 0 to 255; nil for another text.
    private static func byte(_ text: UnsafeRawBufferPointer) -> UInt8? {
        if (1...3).contains(text.count), text.allSatisfy({ $0 &- 0x30 < 10 }) {
            return UInt8(exactly: text.reduce(0) { $0 * 10 + Int($1 &- 0x30) })
        }
        guard let number = DecimalText.double(text) else { return nil }
        return UInt8(exactly: number)
    }
}
