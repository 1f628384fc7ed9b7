extension SeriesOptions {
    /// The longest window in rows.
    static let maximumLength = 65_535

    /// - Throws: `badSetting` for numbers that make no windows.
    func check() throws(DataError) {
        func bad(_ key: String, _ expected: String, _ found: String) -> DataError {
            DataError(
                .badSetting, file: "data.series.\(key)", what: "windows", expected: expected,
                found: found)
        }
        guard (1...Self.maximumLength).contains(length) else {
            throw bad("length", "1 to \(Self.maximumLength) rows", "\(length)")
        }
        guard (1...1 << 40).contains(stride) else {
            throw bad("stride", "at least 1 row", "\(stride)")
        }
        if let gap {
            guard gap > 0, gap.isFinite else { throw bad("gap", "seconds above 0", "\(gap)") }
            guard time != nil else {
                throw bad("time", "a column, because there is a gap", "none")
            }
        }
    }
}

/// Rows of series in memory, from which windows are cut. The rows of a series follow each other.
struct SeriesRows: Sendable {
    /// The largest number of values in all, in bytes.
    static let maximumByteCount = 4 << 30

    /// Rows of one series without a gap.
    struct Stretch: Sendable {
        var series: Int
        var rows: Range<Int>
    }

    let columnCount: Int
    /// The values, [rows, columns].
    var values: [Float] = []
    /// The number of the label's text of each row, or its targets, [rows, targets].
    var labels: [Int32] = []
    var targets: [Float] = []
    var stretches: [Stretch] = []
    /// The names of the series, and the number of the first row of each.
    var names: [String] = []
    var firsts: [Int] = []
    /// The rows that cannot be decoded, in order, and why.
    var badRows: [(row: Int, error: DataError)] = []

    var rowCount: Int { values.count / columnCount }

    /// Returns a remark on each column whose values are all equal.
    func constantColumns(_ names: [String], file: String) -> [String] {
        guard rowCount > 1, badRows.isEmpty else { return [] }
        return (0..<columnCount).filter { column in
            var index = column
            while index < values.count {
                if values[index] != values[column] { return false }
                index += columnCount
            }
            return true
        }.map { "\(file): column '\(names[$0])' is \(values[$0]) in every row" }
    }
}

/// Windows of a fixed number of rows, each within one stretch, as records [C, 1, length].
///
/// Window k of a stretch begins k · stride rows behind its start. These are the windows of NumPy's
/// `sliding_window_view(x, length)[::stride]`. No row is copied until a window is read.
///
/// Memory: the rows, and 4 bytes a window for its label.
final class SeriesWindows: RecordTable {
    let count: Int
    let labels: [Int32]
    let targets: [Float]
    private let file: String
    private let rows: SeriesRows
    private let length: Int
    private let stride: Int
    /// The number of the first window of each stretch.
    private let starts: [Int]

    /// Cuts windows.
    ///
    /// - Parameters:
    ///   - file: the name of the file, for the names of records.
    ///   - labels: the label of each text; nil for records with targets.
    ///   - targetCount: the number of targets of a row.
    init(
        _ rows: SeriesRows, _ options: SeriesOptions, file: String, labels texts: [Int32]?,
        targetCount: Int
    ) {
        self.rows = rows
        self.file = file
        length = options.length
        stride = options.stride
        var starts: [Int] = []
        var count = 0
        for stretch in rows.stretches {
            starts.append(count)
            count += Self.windowCount(stretch.rows.count, length, stride)
        }
        self.starts = starts
        self.count = count
        var labels: [Int32] = []
        var targets: [Float] = []
        var counter = MajorityCounter(labels: texts ?? [])
        for stretch in rows.stretches {
            for index in 0..<Self.windowCount(stretch.rows.count, length, stride) {
                let first = stretch.rows.lowerBound + index * stride
                let last = first + length - 1
                guard let texts else {
                    targets += rows.targets[last * targetCount..<(last + 1) * targetCount]
                    continue
                }
                switch options.labelAt {
                case .last: labels.append(texts.isEmpty ? 0 : texts[Int(rows.labels[last])])
                case .majority: labels.append(counter.majority(rows.labels[first...last]))
                }
            }
        }
        self.labels = labels
        self.targets = targets
    }

    /// Returns how many windows lie in a stretch.
    static func windowCount(_ rowCount: Int, _ length: Int, _ stride: Int) -> Int {
        rowCount < length ? 0 : (rowCount - length) / stride + 1
    }

    /// Returns the stretch of a window, and its first row.
    private func place(_ record: Int) -> (stretch: SeriesRows.Stretch, first: Int) {
        let index = starts.lastPlace(notAbove: record)
        let stretch = rows.stretches[index]
        return (stretch, stretch.rows.lowerBound + (record - starts[index]) * stride)
    }

    func name(_ record: Int) -> String {
        let place = place(record)
        let series = place.stretch.series
        return "\(file)#\(rows.names[series])@\(place.first - rows.firsts[series])"
    }

    func group(_ record: Int) -> String { "\(file)#\(rows.names[place(record).stretch.series])" }

    func interval(_ record: Int) -> Range<Int>? {
        let place = place(record)
        let first = place.first - rows.firsts[place.stretch.series]
        return first..<first + length
    }

    func reader() -> any RecordReader { Reader(self) }

    private final class Reader: RecordReader {
        private let table: SeriesWindows

        init(_ table: SeriesWindows) { self.table = table }

        func read(_ record: Int, into elements: UnsafeMutableRawPointer) throws(DataError) {
            let first = table.place(record).first
            let rows = table.rows
            let length = table.length
            if let bad = rows.firstBad(in: first..<first + length) { throw bad }
            let floats = elements.assumingMemoryBound(to: Float.self)
            let columnCount = rows.columnCount
            rows.values.withUnsafeBufferPointer { values in
                for column in 0..<columnCount {
                    var index = first * columnCount + column
                    for row in 0..<length {
                        floats[column * length + row] = values[index]
                        index += columnCount
                    }
                }
            }
        }
    }
}

extension SeriesRows {
    /// Returns why the first bad row of a range cannot be decoded; nil when all rows can.
    func firstBad(in range: Range<Int>) -> DataError? {
        var (low, high) = (0, badRows.count)
        while low < high {
            let middle = (low + high) / 2
            if badRows[middle].row < range.lowerBound { low = middle + 1 } else { high = middle }
        }
        guard low < badRows.count, badRows[low].row < range.upperBound else { return nil }
        return badRows[low].error
    }
}

/// Finds the most frequent label of a window.
///
/// Memory: four bytes a label; no allocation in a call.
struct MajorityCounter {
    private let labels: [Int32]
    private var counts: [Int32]

    /// Creates a counter.
    ///
    /// - Parameter labels: the label of each text.
    init(labels: [Int32]) {
        self.labels = labels
        counts = [Int32](repeating: 0, count: Int(labels.max() ?? 0) + 1)
    }

    /// Returns the most frequent label of some texts; of several the smallest.
    mutating func majority(_ texts: ArraySlice<Int32>) -> Int32 {
        guard !labels.isEmpty else { return 0 }
        for text in texts { counts[Int(labels[Int(text)])] += 1 }
        var best: Int32 = 0
        var bestCount: Int32 = 0
        for text in texts {
            let label = labels[Int(text)]
            let count = counts[Int(label)]
            if count > bestCount || (count == bestCount && label < best) {
                (best, bestCount) = (label, count)
            }
        }
        for text in texts { counts[Int(labels[Int(text)])] = 0 }
        return best
    }
}
