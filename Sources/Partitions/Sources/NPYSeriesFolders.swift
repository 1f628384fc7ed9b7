/// Series in NumPy files of their own, whose folder is their class: `CLASS/NAME.npy`, or
/// `train/CLASS/NAME.npy` and `test/CLASS/NAME.npy`. An array is [channels, rows], or [rows] for
/// one channel; the series may have unlike numbers of rows.
struct NPYSeriesFolders {
    private static let maximumFileCount = 1 << 24

    let directory: String
    let options: SeriesOptions

    /// Lists the series: the training series, then the test series, by folder and name.
    ///
    /// - Returns: nil for a directory without folders.
    func files() throws(DataError) -> FileList? {
        let folders = try DirectoryListing(directory).directories.filter { $0.first != 0x2E }
        guard !folders.isEmpty else { return nil }
        let train = Array("train".utf8)
        let test = Array("test".utf8)
        var list = FileList(root: directory)
        var skippedCount = 0
        let splits =
            folders.contains(train) ? [train] + (folders.contains(test) ? [test] : []) : [[]]
        for split in splits {
            let classes =
                split.isEmpty ? folders : try listing(split).directories.filter { $0.first != 0x2E }
            for name in classes {
                guard String(validating: name, as: UTF8.self) != nil else {
                    throw DataError(
                        .badSetting, file: "\(directory)/\(String(decoding: name, as: UTF8.self))",
                        what: "name of the class", expected: "UTF-8", found: "other bytes",
                        advice: "rename the folder")
                }
                let folder = split.isEmpty ? name : split + [0x2F] + name
                for file in try listing(folder).others {
                    guard file.suffix(4).elementsEqual(".npy".utf8), file.first != 0x2E else {
                        skippedCount += 1
                        continue
                    }
                    list.append(folder + [0x2F] + file)
                }
                guard list.count <= Self.maximumFileCount else {
                    throw DataError(
                        .badSetting, file: directory, what: "number of series",
                        expected: "at most \(Self.maximumFileCount)", found: "more")
                }
            }
        }
        if skippedCount > 0 {
            list.remarks.append(
                "\(directory): \(skippedCount) files are no arrays and are left out")
        }
        return list.count == 0 ? nil : list
    }

    private func listing(_ folder: [UInt8]) throws(DataError) -> DirectoryListing {
        try DirectoryListing(
            bytes: Array(directory.utf8) + [0x2F] + folder,
            name: "\(directory)/\(String(decoding: folder, as: UTF8.self))")
    }

    /// Finds the windows of the series.
    func scan(_ files: FileList) throws(DataError) -> SourceScan {
        var series: [[NPYFileWindows.Series]] = [[], []]
        var classes: [String] = []
        var numbers: [String: Int32] = [:]
        var channels: Int?
        for index in 0..<files.count {
            let parts = files.name(index).split(separator: "/").map(String.init)
            let (side, name) =
                parts.count == 3 ? (parts[0] == "test" ? 1 : 0, parts[1]) : (0, parts[0])
            if numbers[name] == nil {
                guard side == 0, classes.count < LabelTexts.maximumClassCount else {
                    throw DataError(
                        .badSetting, file: files.fullName(index), what: "class of the series",
                        expected: side == 1
                            ? "one of the classes of the training series"
                            : "at most \(LabelTexts.maximumClassCount) classes",
                        found: "'\(name)'", advice: "rename or remove the folder")
                }
                numbers[name] = Int32(classes.count)
                classes.append(name)
            }
            let header = try NPYHeader(files.open(index))
            let shape = header.shape
            guard (1...2).contains(shape.count), shape[0] > 0 else {
                throw DataError(
                    .sizeMismatch, file: files.fullName(index), what: "shape of a series",
                    expected: "[rows] or [channels, rows]", found: "\(shape)")
            }
            let (count, rows) = shape.count == 1 ? (1, shape[0]) : (shape[0], shape[1])
            guard channels ?? count == count, count <= 65_535,
                count * options.length <= NPYLayout.maximumElementCount
            else {
                throw DataError(
                    .sizeMismatch, file: files.fullName(index), what: "channels of a series",
                    expected: channels.map { "\($0), as in \(files.fullName(0))" }
                        ?? "at most \(NPYLayout.maximumElementCount / options.length)",
                    found: "\(count)")
            }
            channels = count
            series[side].append(
                NPYFileWindows.Series(
                    file: index, rows: rows, label: numbers[name] ?? 0))
        }
        let channelCount = channels ?? 1
        let tables = series.map { NPYFileWindows(files, $0, options, channels: channelCount) }
        guard tables[0].count > 0 else {
            throw DataError(
                .emptySet, file: directory, what: "windows of \(options.length) rows",
                expected: "a series as long",
                found: "at most \(series[0].map(\.rows).max() ?? 0) rows",
                advice: "make data.series.length smaller")
        }
        var scan = SourceScan(
            name: directory.split(separator: "/").last.map(String.init) ?? "npy",
            shape: [channelCount, 1, options.length], elementType: .F32, classNames: classes,
            training: tables[0], test: tables[1])
        let short = series.joined().count { $0.rows < options.length }
        if short > 0 {
            scan.remarks.append(
                "\(directory): \(short) series are shorter than a window of \(options.length) rows "
                    + "and are left out")
        }
        return scan
    }
}

/// Windows of series in files of their own, as records [C, 1, length].
///
/// Memory: 32 bytes a series, and 4 bytes a window. A reader has one window and one open file.
final class NPYFileWindows: RecordTable {
    struct Series: Sendable {
        /// The number of the file.
        var file: Int
        var rows: Int
        var label: Int32
    }

    let count: Int
    let labels: [Int32]
    private let files: FileList
    private let series: [Series]
    private let length: Int
    private let stride: Int
    private let channels: Int
    /// The number of the first window of each series.
    private let starts: [Int]

    init(_ files: FileList, _ series: [Series], _ options: SeriesOptions, channels: Int) {
        self.files = files
        self.series = series
        self.channels = channels
        length = options.length
        stride = options.stride
        var starts: [Int] = []
        var labels: [Int32] = []
        for one in series {
            starts.append(labels.count)
            let count = SeriesWindows.windowCount(one.rows, options.length, options.stride)
            labels += [Int32](repeating: one.label, count: count)
        }
        self.starts = starts
        self.labels = labels
        count = labels.count
    }

    private func place(_ record: Int) -> (series: Series, first: Int) {
        let index = starts.lastPlace(notAbove: record)
        return (series[index], (record - starts[index]) * stride)
    }

    func name(_ record: Int) -> String {
        let place = place(record)
        return "\(files.name(place.series.file))@\(place.first)"
    }
    func group(_ record: Int) -> String { files.name(place(record).series.file) }
    func interval(_ record: Int) -> Range<Int>? {
        let first = place(record).first
        return first..<first + length
    }
    func reader() -> any RecordReader { Reader(self) }

    private final class Reader: RecordReader {
        private let table: NPYFileWindows
        private var open: (file: Int, array: NPYArray)?
        private var bytes = UnsafeMutableRawBufferPointer(start: nil, count: 0)

        init(_ table: NPYFileWindows) { self.table = table }

        deinit { bytes.deallocate() }

        private func array(_ series: Series) throws(DataError) -> NPYArray {
            if let open, open.file == series.file { return open.array }
            let array = try NPYArray(table.files.open(series.file))
            guard array.header.shape.last == series.rows, array.header.shape.count <= 2,
                array.header.shape.reduce(1, *) == series.rows * table.channels
            else { throw SourceFile.changed(array.file.name) }
            open = (series.file, array)
            let byteCount = table.length * array.header.element.byteCount
            if bytes.count != byteCount {
                bytes.deallocate()
                bytes = .allocate(byteCount: byteCount, alignment: 16)
            }
            return array
        }

        func read(_ record: Int, into elements: UnsafeMutableRawPointer) throws(DataError) {
            let place = table.place(record)
            try array(place.series).readWindow(
                first: place.first, rows: place.series.rows, channels: table.channels,
                length: table.length, bytes, into: elements, what: "series")
        }
    }
}

extension [Int] {
    /// Returns the place of the last number that is not above another, in a list in ascending order
    /// that begins with a smaller or equal one.
    func lastPlace(notAbove number: Int) -> Int {
        var (low, high) = (0, count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if self[middle] <= number { low = middle } else { high = middle }
        }
        return low
    }
}

extension NPYArray {
    /// Reads a window of a series, [channels, rows], that is a part of the array.
    ///
    /// - Parameters:
    ///   - base: the number of the series' first element.
    ///   - first: the first row of the window.
    ///   - bytes: memory for `length` elements as they are stored.
    ///   - elements: receives the window as single-precision numbers, [channels, 1, length].
    ///   - what: the series, for errors.
    /// - Throws: `badRecord` for an element that cannot be stored.
    func readWindow(
        base: Int = 0, first: Int, rows: Int, channels: Int, length: Int,
        _ bytes: UnsafeMutableRawBufferPointer, into elements: UnsafeMutableRawPointer,
        what: @autoclosure () -> String
    ) throws(DataError) {
        let floats = elements.assumingMemoryBound(to: Float.self)
        for channel in 0..<channels {
            try read(base + channel * rows + first, into: bytes)
            if let flaw = convert(
                UnsafeRawBufferPointer(bytes), into: floats + channel * length, count: length)
            {
                throw DataError(
                    .badRecord, file: file.name,
                    what: "\(what()), channel \(channel), row \(first + flaw.index)",
                    expected: flaw.expected, found: flaw.found)
            }
        }
    }
}
