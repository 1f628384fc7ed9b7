import FoundationEssentials

/// Arrays of NumPy in a directory: `train_images.npy` and `train_labels.npy`, and perhaps
/// `test_images.npy` and `test_labels.npy`. Other names in use are taken too: `x_train` and
/// `y_train`, `train_x` and `train_y`, and `images` and `labels`, or `x` and `y`, for a set that is
/// not divided.
///
/// Bytes stay bytes; all other types become single-precision numbers. With the option `series` the
/// records are windows of the arrays' series, or of arrays in folders.
struct NPYSource: RecordSource {
    static let scheme = "npy"
    static let form = "npy:DIR"
    static let summary = "NumPy arrays, for instance train_images.npy and train_labels.npy"

    private let directory: String
    private let shape: [Int]?
    private let targetNames: [String]
    private let series: SeriesOptions?

    init(_ specification: DataSpecification) throws(DataError) {
        let options = specification.options
        directory = specification.location
        shape = options.table.shape
        targetNames = options.table.targets
        series = options.series
        try series?.check()
        if let series, series.by != nil || series.time != nil {
            throw DataError(
                .badSetting, file: "data.series", what: "by and time",
                expected: "neither, for an array has no columns", found: "one of them")
        }
        try NPYLayout.check(shape)
    }

    // MARK: Files

    /// The files of a data set by their tasks.
    private struct Roles {
        /// The names of the elements and of the labels or targets; test may be missing.
        var training: (elements: String, labels: String)
        var test: (elements: String, labels: String)?
        var classes: String?

        var names: [String] {
            [training.elements, training.labels] + (test.map { [$0.elements, $0.labels] } ?? [])
                + (classes.map { [$0] } ?? [])
        }
    }

    private static let classFiles = ["classes.txt", "class_names.txt"]

    /// Finds the files of a data set among names.
    private func roles(_ names: [String]) throws(DataError) -> Roles {
        func only(_ stems: [String]) throws(DataError) -> String? {
            let found = names.filter { name in
                let name = name.lowercased()
                return stems.contains { name == "\($0).npy" }
            }
            guard found.count < 2 else {
                throw DataError(
                    .unreadable, file: directory, what: "arrays of one kind", expected: "one",
                    found: found.sorted().joined(separator: " and "),
                    advice: "take one of them away")
            }
            return found.first
        }
        func pair(
            _ elements: [String], _ labels: [String]
        ) throws(DataError) -> (elements: String, labels: String)? {
            let pair = (try only(elements), try only(labels))
            switch pair {
            case (let elements?, let labels?): return (elements, labels)
            case (nil, nil): return nil
            default:
                let missing = pair.0 == nil ? elements : labels
                throw DataError(
                    .unreadable, file: directory,
                    what: "partner of \(pair.0 ?? pair.1 ?? "")",
                    expected: missing.map { "\($0).npy" }.joined(separator: " or "), found: "none")
            }
        }
        func named(_ split: String) -> ([String], [String]) {
            (
                ["\(split)_images", "\(split)_x", "x_\(split)"],
                ["\(split)_labels", "\(split)_y", "y_\(split)", "\(split)_targets"]
            )
        }
        let (elements, labels) = named("train")
        var training = try pair(elements, labels)
        if training == nil { training = try pair(["images", "x"], ["labels", "y", "targets"]) }
        guard let training else {
            let archive = names.first { $0.lowercased().hasSuffix(".npz") }
            throw DataError(
                .unreadable, file: directory, what: "arrays of the training records",
                expected: "train_images.npy and train_labels.npy, or x_train.npy and y_train.npy",
                found: archive ?? "none",
                advice: archive == nil ? "" : "unpack it there with unzip")
        }
        let (testElements, testLabels) = named("test")
        let classes = names.filter { Self.classFiles.contains($0) }
        guard classes.count < 2 else {
            throw DataError(
                .unreadable, file: directory, what: "names of the classes", expected: "one file",
                found: classes.joined(separator: " and "), advice: "take one of them away")
        }
        return Roles(
            training: training, test: try pair(testElements, testLabels), classes: classes.first)
    }

    func files() throws(DataError) -> FileList {
        try requireDirectory(directory, holding: "arrays of NumPy")
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: directory) else {
            throw DataError(
                .unreadable, file: directory, what: "cannot list the directory",
                expected: "a directory with arrays of NumPy", found: "nothing readable")
        }
        if let series, !names.contains(where: { $0.hasSuffix(".npy") }),
            let files = try NPYSeriesFolders(directory: directory, options: series).files()
        {
            return files
        }
        return FileList(root: directory, names: try roles(names).names)
    }

    // MARK: Records

    func scan(_ files: FileList) throws(DataError) -> SourceScan {
        if let series, files.count > 0, files.path(0).contains(0x2F) {
            return try NPYSeriesFolders(directory: directory, options: series).scan(files)
        }
        let names = (0..<files.count).map { files.name($0) }
        let roles = try roles(names)
        func open(_ name: String) throws(DataError) -> SourceFile {
            guard let index = names.firstIndex(of: name) else {
                preconditionFailure("\(name) is not among the files it was taken from")
            }
            return try files.open(index)
        }
        let classNames = try roles.classes.map { (name) throws(DataError) in
            try Self.classNames(open(name))
        }
        let training = try split(
            NPYArray(open(roles.training.elements)), NPYArray(open(roles.training.labels)),
            classNames)
        let test = try roles.test.map { (pair) throws(DataError) in
            try split(NPYArray(open(pair.elements)), NPYArray(open(pair.labels)), classNames)
        }
        if let test {
            guard training.layout == test.layout, training.targetCount == test.targetCount else {
                throw DataError(
                    .sizeMismatch, file: "\(directory)/\(roles.test?.elements ?? "")",
                    what: "test records",
                    expected: "\(training.layout), \(training.targetCount ?? 0) targets, as in the "
                        + "training records",
                    found: "\(test.layout), \(test.targetCount ?? 0) targets")
            }
        }
        guard training.table.count > 0 else {
            throw DataError(
                .emptySet, file: "\(directory)/\(roles.training.elements)",
                what: "training records",
                expected: series.map { "a series of at least \($0.length) rows" } ?? "at least 1",
                found: "none")
        }
        return SourceScan(
            name: directory.split(separator: "/").last.map(String.init) ?? "npy",
            shape: training.layout.shape, elementType: training.layout.type,
            classNames: training.targetCount == nil ? classNames : nil,
            targetCount: training.targetCount, training: training.table,
            test: test?.table ?? EmptyTable())
    }

    private struct Split {
        var layout: NPYLayout
        var targetCount: Int?
        var table: any RecordTable
    }

    private func split(
        _ elements: NPYArray, _ labels: NPYArray, _ classNames: [String]?
    ) throws(DataError) -> Split {
        let count = elements.header.shape[0]
        let dimensions = labels.header.shape
        guard dimensions[0] == count else {
            throw DataError(
                .sizeMismatch, file: labels.file.name, what: "labels or targets",
                expected: "\(count), as there are records in \(elements.file.shortName)",
                found: "\(dimensions[0])")
        }
        let isTargets =
            !targetNames.isEmpty || labels.file.shortName.lowercased().contains("targets")
        var values: [Float] = []
        var numbers: [Int32] = []
        var targetCount: Int?
        if isTargets {
            let width = labels.itemCount
            guard dimensions.count < 3, (1...65_536).contains(width),
                targetNames.isEmpty || targetNames.count == width
            else {
                throw DataError(
                    .sizeMismatch, file: labels.file.name, what: "shape of the targets",
                    expected: "[\(count)] or [\(count), "
                        + "\(targetNames.isEmpty ? "targets" : "\(targetNames.count)")]",
                    found: "\(dimensions)")
            }
            targetCount = width
            values = try labels.targets()
        } else {
            numbers = try labels.labels()
            if let names = classNames,
                let bad = numbers.firstIndex(where: { $0 >= names.count })
            {
                throw DataError(
                    .labelOutOfRange, file: labels.file.name,
                    what: "label of record \(bad / max(1, labels.itemCount))",
                    expected: "0 to \(names.count - 1), as there are names of classes",
                    found: "\(numbers[bad])")
            }
        }
        let isOne = dimensions.count == 1 || (dimensions.count == 2 && dimensions[1] == 1)
        if let series {
            return try windows(elements, series, numbers, values, targetCount, isOne)
        }
        guard isTargets || isOne else {
            throw DataError(
                .sizeMismatch, file: labels.file.name, what: "shape of the labels",
                expected: "[\(count)] or [\(count), 1]", found: "\(dimensions)",
                advice: "save y.argmax(1) in place of one-hot labels")
        }
        let layout = try NPYLayout(
            item: Array(elements.header.shape.dropFirst()), elements.header.element, shape,
            file: elements.file.name)
        return Split(
            layout: layout, targetCount: targetCount,
            table: NPYTable(elements, layout, labels: numbers, targets: values))
    }

    /// Cuts series into windows.
    private func windows(
        _ array: NPYArray, _ options: SeriesOptions, _ labels: [Int32], _ targets: [Float],
        _ targetCount: Int?, _ isOne: Bool
    ) throws(DataError) -> Split {
        let dimensions = array.header.shape
        let labelCount = dimensions[0] == 0 ? 0 : labels.count / dimensions[0]
        guard dimensions.count == 2 || dimensions.count == 3, shape == nil else {
            throw DataError(
                .sizeMismatch, file: array.file.name, what: "shape of the series",
                expected: "[series, rows] or [series, channels, rows], and no data.table.shape",
                found: "\(dimensions)")
        }
        let (channels, rows) = (dimensions.count == 2 ? 1 : dimensions[1], dimensions.last!)
        let length = options.length
        guard channels <= 65_535, channels * length <= NPYLayout.maximumElementCount else {
            throw DataError(
                .sizeMismatch, file: array.file.name, what: "elements of a window",
                expected: "at most 65535 channels and \(NPYLayout.maximumElementCount) elements",
                found: "\(channels) channels of \(length) rows")
        }
        guard targetCount != nil || isOne || labelCount == rows else {
            throw DataError(
                .sizeMismatch, file: array.file.name, what: "labels of the series",
                expected: "one a series or one a row, \(rows)", found: "\(labelCount) a series")
        }
        let table = NPYWindows(
            array, channels: channels, rows: rows, options,
            labels: labels, hasRowLabels: targetCount == nil && !isOne, targets: targets,
            targetCount: targetCount ?? 0)
        return Split(
            layout: NPYLayout(shape: [channels, 1, length], type: .F32), targetCount: targetCount,
            table: table)
    }

    /// Reads the names of classes, a line each.
    private static func classNames(_ file: SourceFile) throws(DataError) -> [String] {
        func bad(_ what: String, _ expected: String, _ found: String) -> DataError {
            DataError(
                .sizeMismatch, file: file.name, what: what, expected: expected, found: found)
        }
        let limit = LabelTexts.maximumClassCount * (LabelTexts.maximumNameByteCount + 2)
        guard file.byteCount <= limit else {
            throw bad("size", "at most \(limit) bytes", "\(file.byteCount)")
        }
        let bytes = try file.bytes(at: 0, count: file.byteCount)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw bad("names of the classes", "UTF-8", "other bytes")
        }
        var lines = text.split(omittingEmptySubsequences: false) { $0.isNewline }.map(String.init)
        while lines.last == "" { lines.removeLast() }
        var known: Set<String> = []
        for (index, line) in lines.enumerated() {
            guard (1...LabelTexts.maximumNameByteCount).contains(line.utf8.count) else {
                throw bad(
                    "line \(index + 1)", "a name of 1 to \(LabelTexts.maximumNameByteCount) bytes",
                    "\(line.utf8.count) bytes")
            }
            guard known.insert(line).inserted else {
                throw bad("line \(index + 1)", "a name of its own", "'\(line)' for the second time")
            }
        }
        guard (1...LabelTexts.maximumClassCount).contains(lines.count) else {
            throw bad(
                "names of the classes", "1 to \(LabelTexts.maximumClassCount)", "\(lines.count)")
        }
        return lines
    }
}

/// A split without records.
final class EmptyTable: RecordTable {
    var count: Int { 0 }
    var labels: [Int32] { [] }
    func name(_ record: Int) -> String { "" }
    func reader() -> any RecordReader { Reader() }

    private final class Reader: RecordReader {
        func read(_ record: Int, into elements: UnsafeMutableRawPointer) throws(DataError) {
            preconditionFailure("expected no record to be read, found \(record)")
        }
    }
}

/// The items of an array as records.
///
/// Memory: the labels or targets. A reader has one record.
final class NPYTable: RecordTable {
    let labels: [Int32]
    let targets: [Float]
    private let array: NPYArray
    private let layout: NPYLayout

    init(_ array: NPYArray, _ layout: NPYLayout, labels: [Int32], targets: [Float]) {
        self.array = array
        self.labels = labels
        self.targets = targets
        self.layout = layout
    }

    var count: Int { array.header.shape[0] }
    func name(_ record: Int) -> String { "\(array.file.shortName)#\(record)" }
    func reader() -> any RecordReader { Reader(self) }

    private final class Reader: RecordReader {
        private let table: NPYTable
        private let decoder: NPYRecordDecoder

        init(_ table: NPYTable) {
            self.table = table
            decoder = NPYRecordDecoder(table.layout, table.array.header.element)
        }

        func read(_ record: Int, into elements: UnsafeMutableRawPointer) throws(DataError) {
            try decoder.read(
                table.array, first: record * table.array.itemCount, into: elements,
                what: "record \(record)")
        }
    }
}

/// Windows of the series of an array [series, channels, rows], as records [C, 1, length].
///
/// Memory: the labels of the rows or series, and of the windows. A reader has one window.
final class NPYWindows: RecordTable {
    let count: Int
    let labels: [Int32]
    let targets: [Float]
    private let array: NPYArray
    private let channels: Int
    private let rows: Int
    private let length: Int
    private let stride: Int
    /// The number of windows of a series.
    private let windowCount: Int

    init(
        _ array: NPYArray, channels: Int, rows: Int, _ options: SeriesOptions, labels: [Int32],
        hasRowLabels: Bool, targets: [Float], targetCount: Int
    ) {
        self.array = array
        self.channels = channels
        self.rows = rows
        length = options.length
        stride = options.stride
        let seriesCount = array.header.shape[0]
        windowCount = SeriesWindows.windowCount(rows, length, stride)
        count = seriesCount * windowCount
        var windowLabels: [Int32] = []
        var windowTargets: [Float] = []
        // The labels are their own texts.
        var counter = MajorityCounter(labels: (0...(labels.max() ?? 0)).map { $0 })
        for series in 0..<seriesCount {
            for window in 0..<windowCount {
                if targetCount > 0 {
                    windowTargets += targets[series * targetCount..<(series + 1) * targetCount]
                } else if !hasRowLabels {
                    windowLabels.append(labels[series])
                } else {
                    let first = series * rows + window * stride
                    windowLabels.append(
                        options.labelAt == .last
                            ? labels[first + length - 1]
                            : counter.majority(labels[first..<first + length]))
                }
            }
        }
        self.labels = windowLabels
        self.targets = windowTargets
    }

    private func place(_ record: Int) -> (series: Int, first: Int) {
        (record / windowCount, record % windowCount * stride)
    }

    func name(_ record: Int) -> String {
        let place = place(record)
        return "\(array.file.shortName)#\(place.series)@\(place.first)"
    }
    func group(_ record: Int) -> String { "\(array.file.shortName)#\(place(record).series)" }
    func interval(_ record: Int) -> Range<Int>? {
        let first = place(record).first
        return first..<first + length
    }
    func reader() -> any RecordReader { Reader(self) }

    private final class Reader: RecordReader {
        private let table: NPYWindows
        private let bytes: UnsafeMutableRawBufferPointer

        init(_ table: NPYWindows) {
            self.table = table
            bytes = .allocate(
                byteCount: table.length * table.array.header.element.byteCount, alignment: 16)
        }

        deinit { bytes.deallocate() }

        func read(_ record: Int, into elements: UnsafeMutableRawPointer) throws(DataError) {
            let place = table.place(record)
            try table.array.readWindow(
                base: place.series * table.channels * table.rows, first: place.first,
                rows: table.rows, channels: table.channels, length: table.length, bytes,
                into: elements, what: "series \(place.series)")
        }
    }
}
