/// Reads a table in the long form, a row a time step, into rows of series.
///
/// The numbers are parsed once; they stay in memory while windows are read. The rows of a series
/// must follow each other, and its times must increase.
struct CSVSeriesReader {
    /// The largest number of rows that cannot be decoded; windows without them are records still.
    static let maximumBadRowCount = 10_000
    /// The longest name of a series in bytes.
    static let maximumNameByteCount = 256

    private let plan: CSVPlan
    private let file: SourceFile
    private let options: SeriesOptions
    private var rows: SeriesRows
    /// The name of the series in a table without a column for it.
    private let wholeName: String
    private var current: [UInt8] = []
    private var isOpen = false
    private var stretchStart = 0
    private var lastTime = -Double.infinity

    private init(
        _ plan: CSVPlan, _ file: SourceFile, _ options: SeriesOptions, wholeName: String
    ) {
        self.wholeName = wholeName
        self.plan = plan
        self.file = file
        self.options = options
        rows = SeriesRows(columnCount: plan.columns.count)
    }

    /// Finds the windows of the tables.
    static func scan(
        _ plan: CSVPlan, _ files: [SourceFile], _ readers: [DelimitedReader],
        _ options: SeriesOptions
    ) throws(DataError) -> SourceScan {
        guard plan.targets.isEmpty || options.labelAt == .last else {
            throw DataError(
                .badSetting, file: "data.series.label-at", what: "row with the targets",
                expected: "last", found: "majority", advice: "majority is for labels")
        }
        var texts = LabelTexts()
        var sides: [CSVSeriesReader] = []
        for (index, file) in files.enumerated() {
            // The names of a file's two sides differ.
            var parts = ["0", files.count == 1 ? "test" : "0"].map {
                CSVSeriesReader(plan, file, options, wholeName: $0)
            }
            var known: Set<[UInt8]> = []
            let reader = readers[index]
            while try reader.next() {
                try plan.check(reader.row, reader.bytes, file: file.name, line: reader.line)
                var side = index
                if plan.usage != nil, plan.isTest(reader.row, reader.bytes) == true { side = 1 }
                parts[1 - side].endStretch()
                try parts[side].add(reader, &texts, &known)
            }
            parts[0].endStretch()
            parts[1].endStretch()
            sides += files.count == 1 ? parts : [parts[index]]
            try file.requireUnchanged()
        }
        // A bad row that no window has would go unnoticed.
        for side in sides {
            for stretch in side.rows.stretches where stretch.rows.count < options.length {
                if let bad = side.rows.firstBad(in: stretch.rows) { throw bad }
            }
        }
        let classes = plan.targets.isEmpty ? try texts.classes() : nil
        let tables = sides.map { side in
            SeriesWindows(
                side.rows, options, file: side.file.shortName, labels: classes?.labels,
                targetCount: plan.targets.count)
        }
        guard tables[0].count > 0 else {
            let longest = sides[0].rows.stretches.map(\.rows.count).max() ?? 0
            throw DataError(
                .emptySet, file: files[0].name, what: "windows of \(options.length) rows",
                expected: "a series as long", found: "at most \(longest) rows without a gap",
                advice: "make data.series.length smaller")
        }
        var scan = SourceScan(
            name: files[0].stem, shape: [plan.columns.count, 1, options.length], elementType: .F32,
            classNames: classes?.names, targetCount: classes == nil ? plan.targets.count : nil,
            training: tables[0], test: tables[1])
        if let remark = classes?.remark { scan.remarks.append(remark) }
        scan.remarks += sides[0].rows.constantColumns(
            plan.columns.map { plan.header[$0] }, file: files[0].name)
        let unused = sides.map { side in
            side.rows.stretches.count { $0.rows.count < options.length }
        }
        if unused[0] + unused[1] > 0 {
            scan.remarks.append(
                "\(files[0].name): \(unused[0] + unused[1]) stretches are shorter than a window of "
                    + "\(options.length) rows and are left out")
        }
        return scan
    }

    /// Appends the current row.
    private mutating func add(
        _ reader: DelimitedReader, _ texts: inout LabelTexts, _ known: inout Set<[UInt8]>
    ) throws(DataError) {
        let line = reader.line
        let row = rows.rowCount
        let size = (rows.values.count + plan.columns.count) * MemoryLayout<Float>.stride
        guard size <= SeriesRows.maximumByteCount else {
            throw DataError(
                .badRecord, file: file.name, what: "line \(line), values of all series",
                expected: "at most \(SeriesRows.maximumByteCount) bytes in memory", found: "more",
                advice: "cut the table into several data sets and unite them")
        }
        if let by = plan.by {
            try enter(reader.text(by).trimmed, line: line, &known)
        } else if rows.names.isEmpty {
            begin(wholeName, row)
        }
        if let time = plan.time {
            let text = reader.text(time)
            guard let value = DecimalText.double(text), value.isFinite else {
                throw plan.bad(text, time, file: file.name, line: line, "a time in seconds")
            }
            guard value > lastTime else {
                throw DataError(
                    .badRecord, file: file.name,
                    what: "line \(line), column '\(plan.header[time])'",
                    expected: "a time above \(lastTime), that of the row before",
                    found: "\(value)", advice: "sort the rows of each series by time")
            }
            if let gap = options.gap, value - lastTime > gap { endStretch() }
            lastTime = value
        }
        if !isOpen {
            isOpen = true
            stretchStart = row
        }
        try addValues(reader, row: row, &texts)
    }

    /// Appends the numbers, and the label or targets, of the current row.
    private mutating func addValues(
        _ reader: DelimitedReader, row: Int, _ texts: inout LabelTexts
    ) throws(DataError) {
        let line = reader.line
        var label: Int32 = 0
        do throws(DataError) {
            if plan.targets.isEmpty {
                label = try texts.add(
                    reader.text(plan.label), file: file.name, place: "line \(line)")
            }
            for column in plan.targets {
                rows.targets.append(
                    try plan.number(reader.text(column), column, file: file.name, line: line))
            }
            for column in plan.columns {
                rows.values.append(
                    try plan.number(reader.text(column), column, file: file.name, line: line))
            }
        } catch {
            guard error.kind == .badRecord, rows.badRows.count < Self.maximumBadRowCount else {
                throw error
            }
            rows.badRows.append((row, error))
            func pad(_ values: inout [Float], to count: Int) {
                values += [Float](repeating: 0, count: count - values.count)
            }
            pad(&rows.values, to: (row + 1) * plan.columns.count)
            pad(&rows.targets, to: (row + 1) * plan.targets.count)
        }
        if plan.targets.isEmpty { rows.labels.append(label) }
    }

    /// Goes on with a series, or begins it.
    private mutating func enter(
        _ name: UnsafeRawBufferPointer, line: Int, _ known: inout Set<[UInt8]>
    ) throws(DataError) {
        if isOpen, name.elementsEqual(current) { return }
        guard !name.isEmpty, name.count <= Self.maximumNameByteCount,
            let text = String(validating: name, as: UTF8.self)
        else {
            throw DataError(
                .badRecord, file: file.name,
                what: "line \(line), column '\(plan.header[plan.by ?? 0])'",
                expected: "the name of a series, 1 to \(Self.maximumNameByteCount) bytes of UTF-8",
                found: "\(name.count) bytes")
        }
        let key = Array(name)
        guard known.insert(key).inserted else {
            throw DataError(
                .badRecord, file: file.name,
                what: "line \(line), column '\(plan.header[plan.by ?? 0])'",
                expected: "the rows of a series behind each other",
                found: "'\(text)' again after other rows", advice: "sort the rows by series")
        }
        endStretch()
        current = key
        begin(text, rows.rowCount)
    }

    private mutating func begin(_ name: String, _ row: Int) {
        rows.names.append(name)
        rows.firsts.append(row)
        lastTime = -.infinity
    }

    /// Ends the stretch of rows without a gap.
    private mutating func endStretch() {
        guard isOpen else { return }
        isOpen = false
        rows.stretches.append(
            SeriesRows.Stretch(series: rows.names.count - 1, rows: stretchStart..<rows.rowCount))
    }
}
