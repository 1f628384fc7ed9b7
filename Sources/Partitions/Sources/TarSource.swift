import Checksums
import Glibc
import Pictures

/// Shards of the WebDataset layout: tar files in which the members of one key follow each other.
/// The key of a member is its path up to the first point of its last part; what follows is its
/// kind.
///
/// A record is a picture (`jpg`, `jpeg`, `png`, `webp`) or an array (`npy`), and its label in
/// `cls`, a number or the name of a class. Other kinds are passed over. Shards with the word "test"
/// or "val" in their paths below the pattern's directory hold test records, unless "train" is there
/// too.
/// Source: documentation of the WebDataset format.
struct TarSource: RecordSource {
    static let scheme = "tar"
    static let form = "tar:GLOB"
    static let summary = "WebDataset shards: tar files with pictures or arrays and their labels"
    static var decoderVersion: String { Pictures.decoderVersion }

    private let pattern: ShardPattern
    private let location: String
    private let image: ImageOptions
    private let shape: [Int]?

    init(_ specification: DataSpecification) throws(DataError) {
        location = specification.location
        pattern = ShardPattern(location)
        image = specification.options.image
        shape = specification.options.table.shape
        try NPYLayout.check(shape)
        guard specification.options.series == nil else {
            throw DataError(
                .badSetting, file: "data.series", what: "windows of tar files", expected: "none",
                found: "some", advice: "cut the windows before you pack them")
        }
        if let channels = image.picture.channels, channels != 1, channels != 3 {
            throw DataError(
                .badSetting, file: "data.image.channels", what: "channels", expected: "1 or 3",
                found: "\(channels)")
        }
    }

    func files() throws(DataError) -> FileList { try pattern.files() }

    /// Whether a shard holds test records, by the words of its name.
    private static func isTest(_ name: String) -> Bool {
        let words = name.lowercased().split { !$0.isLetter }
        let isTraining = words.contains { ["train", "training"].contains($0) }
        return !isTraining
            && words.contains { ["test", "testing", "val", "valid", "validation"].contains($0) }
    }

    func scan(_ files: FileList) throws(DataError) -> SourceScan {
        var texts = LabelTexts()
        var indices = [TarIndex(), TarIndex()]
        for shard in 0..<files.count {
            let side = Self.isTest(files.name(shard)) ? 1 : 0
            try indices[side].append(try files.open(shard), shard, &texts)
        }
        guard indices[0].count > 0 else {
            throw DataError(
                .emptySet, file: location, what: "training records of \(files.count) shards",
                expected: "at least 1 picture or array with its label", found: "none",
                advice: "members are KEY.jpg and KEY.cls; shards with test or val in their names "
                    + "are test records")
        }
        let classes = try texts.classes()
        guard texts.count > 0 else {
            throw DataError(
                .emptySet, file: location, what: "labels",
                expected: "a member KEY.cls for each key",
                found: "none")
        }
        let isArray = indices[0].isArray ?? false
        guard (indices[1].isArray ?? isArray) == isArray else {
            throw DataError(
                .sizeMismatch, file: location, what: "test records",
                expected: isArray
                    ? "arrays, as the training records" : "pictures, as the training records",
                found: isArray ? "pictures" : "arrays")
        }
        guard let example = indices[0].firstWhole else { throw indices[0].flaws[0].error }
        let content: TarTable.Content
        let elementType: DataSetDescription.ElementType
        let recordShape: [Int]
        let name = indices[0].name(example, files)
        if isArray {
            let place = indices[0].places[example]
            let array = try NPYArray(files.open(Int(place.shard)), part: place.range)
            let layout = try NPYLayout(
                item: array.header.shape, array.header.element, shape, file: name)
            content = .arrays(layout, array.header)
            (recordShape, elementType) = (layout.shape, layout.type)
        } else {
            let index = indices[0]
            recordShape = try image.shape(example: { () throws(DataError) in
                let place = index.places[example]
                let file = try files.open(Int(place.shard))
                guard place.range.count <= PictureReader.maximumByteCount else {
                    throw TarTable.tooLarge(name, place.range.count)
                }
                return (try file.bytes(at: place.range.lowerBound, count: place.range.count), name)
            })
            content = .pictures(image.picture, example: name)
            elementType = .U8
        }
        func table(_ index: TarIndex) -> TarTable {
            TarTable(files, index, labels: classes.labels, shape: recordShape, content)
        }
        var scan = SourceScan(
            name: try files.open(0).stem, shape: recordShape, elementType: elementType,
            classNames: classes.names, training: table(indices[0]), test: table(indices[1]))
        if let remark = classes.remark { scan.remarks.append(remark) }
        let skipped = indices[0].skippedCount + indices[1].skippedCount
        if skipped > 0 {
            scan.remarks.append(
                "\(location): \(skipped) members are no pictures, arrays or labels and are left out"
            )
        }
        return scan
    }
}

/// The places of the records of one split in shards.
///
/// Memory: 28 bytes a record and its name.
struct TarIndex {
    struct Place {
        var shard: Int32
        var start: Int
        var byteCount: Int

        var range: Range<Int> { start..<start + byteCount }
    }

    private enum Kind {
        case picture, array, label
    }

    /// The largest number of records that lack something.
    private static let maximumFlawCount = 10_000
    private static let maximumRecordCount = 1 << 30

    private(set) var places: [Place] = []
    /// The number of each label's text.
    private(set) var labels: [Int32] = []
    /// The records that lack something, and what; in order.
    private(set) var flaws: [(record: Int, error: DataError)] = []
    /// Whether the records are arrays; nil before the first one.
    private(set) var isArray: Bool?
    /// The number of members of other kinds.
    private(set) var skippedCount = 0
    /// The names of the members with the elements.
    private var names = FileList(root: "")

    var count: Int { places.count }

    /// The first record that lacks nothing.
    var firstWhole: Int? {
        for (index, flaw) in flaws.enumerated() where flaw.record != index { return index }
        return flaws.count < count ? flaws.count : nil
    }

    /// Returns the name of a record: the shard's path and the member's.
    func name(_ record: Int, _ files: FileList) -> String {
        "\(files.name(Int(places[record].shard)))/\(names.name(record))"
    }

    /// The members of one key.
    private struct Key {
        var key: [UInt8]
        var place: Place?
        var name: [UInt8]
        var isArray = false
        var label: Int32?
        var flaw: DataError?
    }

    /// Reads the headers and the labels of a shard.
    mutating func append(
        _ file: SourceFile, _ shard: Int, _ texts: inout LabelTexts
    ) throws(DataError) {
        var members = try TarMembers(file)
        var current: Key?
        let first = count
        var keys = FileList(root: "")
        while let member = try members.next() {
            guard let (key, kind) = Self.split(member.name) else {
                skippedCount += 1
                continue
            }
            if current?.key != key {
                if let current { try finish(current, file, &keys) }
                current = Key(key: key, name: member.name)
            }
            func note(_ expected: String, _ found: String) {
                guard current?.flaw == nil else { return }
                current?.flaw = DataError(
                    .badRecord, file: file.name,
                    what:
                        "\(String(decoding: member.name, as: UTF8.self)) at byte \(member.offset)",
                    expected: expected, found: found)
            }
            switch kind {
            case .label:
                guard current?.label == nil else {
                    note("one label for a key", "a second one")
                    continue
                }
                do throws(DataError) {
                    current?.label = try Self.label(file, member, &texts)
                } catch {
                    guard error.kind == .badRecord else { throw error }
                    if current?.flaw == nil { current?.flaw = error }
                }
            case .picture, .array:
                guard current?.place == nil else {
                    note("one picture or array for a key", "a second one")
                    continue
                }
                current?.name = member.name
                current?.isArray = kind == .array
                current?.place = Place(
                    shard: Int32(shard), start: member.range.lowerBound,
                    byteCount: member.range.count)
            case nil: skippedCount += 1
            }
        }
        if let current { try finish(current, file, &keys) }
        try requireDistinct(keys, file, first: first)
        try file.requireUnchanged()
    }

    /// Appends the record of a key, unless none of its members belongs to a record.
    private mutating func finish(
        _ key: Key, _ file: SourceFile, _ keys: inout FileList
    ) throws(DataError) {
        if key.place == nil, key.label == nil, key.flaw == nil { return }
        var flaw = key.flaw
        func note(_ expected: String, _ found: String) {
            guard flaw == nil else { return }
            flaw = DataError(
                .badRecord, file: file.name,
                what: "key '\(String(decoding: key.key, as: UTF8.self))'",
                expected: expected, found: found)
        }
        if key.place == nil { note("a picture or an array", "none") }
        if key.label == nil { note("a member with its label, .cls", "none") }
        if key.place != nil, flaw == nil {
            if let isArray, isArray != key.isArray {
                note(isArray ? "an array, as before" : "a picture, as before", "another kind")
            } else {
                isArray = key.isArray
            }
        }
        if let flaw {
            guard flaws.count < Self.maximumFlawCount else { throw flaw }
            flaws.append((count, flaw))
        }
        guard count < Self.maximumRecordCount else {
            throw DataError(
                .badSetting, file: file.name, what: "records of all shards",
                expected: "at most \(Self.maximumRecordCount)", found: "more")
        }
        keys.append(key.key)
        names.append(key.name)
        places.append(key.place ?? Place(shard: 0, start: 0, byteCount: 0))
        labels.append(key.label ?? 0)
    }

    /// Throws when a key occurs in two places of a shard.
    private func requireDistinct(
        _ keys: FileList, _ file: SourceFile, first: Int
    ) throws(DataError) {
        let order = (0..<keys.count).sorted {
            keys.path($0).lexicographicallyPrecedes(keys.path($1))
        }
        for (one, two) in zip(order, order.dropFirst()) where keys.path(one) == keys.path(two) {
            throw DataError(
                .badRecord, file: file.name, what: "key '\(keys.name(one))'",
                expected: "its members behind each other", found: "others between them",
                advice: "pack the files in the order of their names, with tar --sort=name")
        }
    }

    /// Returns the key of a member, and its kind; a nil kind for one that is none of a record's,
    /// and nil for a name without a key.
    private static func split(_ name: [UInt8]) -> (key: [UInt8], kind: Kind?)? {
        let base = (name.lastIndex(of: UInt8(ascii: "/")) ?? -1) + 1
        guard let point = name[base...].firstIndex(of: UInt8(ascii: ".")), point > base else {
            return nil
        }
        let key = Array(name[..<point])
        let ending = String(decoding: name[(point + 1)...].prefix(8), as: UTF8.self).lowercased()
        if ImagesSource.endings.contains(ending) { return (key, .picture) }
        return (key, ending == "npy" ? .array : ending == "cls" ? .label : nil)
    }

    private static func label(
        _ file: SourceFile, _ member: TarMembers.Member, _ texts: inout LabelTexts
    ) throws(DataError) -> Int32 {
        let place = "\(String(decoding: member.name, as: UTF8.self)) at byte \(member.offset)"
        guard member.range.count <= LabelTexts.maximumNameByteCount + 2 else {
            throw DataError(
                .badRecord, file: file.name, what: "\(place), label",
                expected: "at most \(LabelTexts.maximumNameByteCount) bytes",
                found: "\(member.range.count)")
        }
        var bytes = try file.bytes(at: member.range.lowerBound, count: member.range.count)
        while bytes.last == 0x0A || bytes.last == 0x0D { bytes.removeLast() }
        let result = bytes.withUnsafeBytes { bytes in
            Result { () throws(DataError) in
                try texts.add(bytes, file: file.name, place: place)
            }
        }
        return try result.get()
    }
}

/// Pictures or arrays in shards.
final class TarTable: RecordTable {
    /// What the records are.
    enum Content {
        case pictures(PictureOptions, example: String)
        /// Arrays of one layout, and the header of the first.
        case arrays(NPYLayout, NPYHeader)
    }

    let labels: [Int32]
    private let files: FileList
    private let index: TarIndex
    private let shape: [Int]
    private let content: Content
    private let flaws: [Int: DataError]

    /// Creates a table.
    ///
    /// - Parameter labels: the label of each text.
    init(_ files: FileList, _ index: TarIndex, labels: [Int32], shape: [Int], _ content: Content) {
        self.files = files
        self.index = index
        self.shape = shape
        self.content = content
        self.labels = index.labels.map { labels[Int($0)] }
        flaws = Dictionary(uniqueKeysWithValues: index.flaws.map { ($0.record, $0.error) })
    }

    var count: Int { index.count }
    func name(_ record: Int) -> String { index.name(record, files) }
    func reader() -> any RecordReader { Reader(self) }

    /// The error for a picture that is too large to be read.
    static func tooLarge(_ name: String, _ byteCount: Int) -> DataError {
        DataError(
            .badRecord, file: name, what: "size",
            expected: "at most \(PictureReader.maximumByteCount) bytes", found: "\(byteCount)")
    }

    private final class Reader: RecordReader {
        private let table: TarTable
        private let pictures: PictureReader?
        private let decoder: NPYRecordDecoder?
        private var bytes: [UInt8] = []
        /// The shard that was read last.
        private var open: (shard: Int32, file: SourceFile)?

        init(_ table: TarTable) {
            self.table = table
            switch table.content {
            case .pictures(let options, let example):
                pictures = PictureReader(options, shape: table.shape, example: example)
                decoder = nil
            case .arrays(let layout, let header):
                pictures = nil
                decoder = NPYRecordDecoder(layout, header.element)
            }
        }

        private func file(_ shard: Int32) throws(DataError) -> SourceFile {
            if let open, open.shard == shard { return open.file }
            let file = try table.files.open(Int(shard))
            open = (shard, file)
            return file
        }

        /// Reads a member into the reader's memory, and returns its length.
        private func load(_ record: Int) throws(DataError) -> Int {
            if let flaw = table.flaws[record] { throw flaw }
            let place = table.index.places[record]
            guard place.byteCount <= PictureReader.maximumByteCount else {
                throw TarTable.tooLarge(table.name(record), place.byteCount)
            }
            let file = try file(place.shard)
            if bytes.count < place.byteCount {
                bytes = [UInt8](repeating: 0, count: max(place.byteCount, 2 * bytes.count))
            }
            let result = bytes.withUnsafeMutableBytes { bytes in
                Result { () throws(DataError) in
                    try file.read(
                        into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<place.byteCount]),
                        at: place.start)
                }
            }
            guard try result.get() == place.byteCount else { throw SourceFile.changed(file.name) }
            return place.byteCount
        }

        func read(_ record: Int, into elements: UnsafeMutableRawPointer) throws(DataError) {
            if let decoder {
                try readArray(record, decoder, into: elements)
                return
            }
            let count = try load(record)
            let name = table.name(record)
            let result = bytes.withUnsafeBytes { bytes in
                Result { () throws(DataError) in
                    try pictures?.decode(
                        UnsafeRawBufferPointer(rebasing: bytes[..<count]), file: name,
                        into: elements)
                }
            }
            try result.get()
        }

        private func readArray(
            _ record: Int, _ decoder: NPYRecordDecoder, into elements: UnsafeMutableRawPointer
        ) throws(DataError) {
            if let flaw = table.flaws[record] { throw flaw }
            guard case .arrays(_, let first) = table.content else { return }
            let place = table.index.places[record]
            let array: NPYArray
            do throws(DataError) {
                array = try NPYArray(file(place.shard), part: place.range)
                guard array.header.element == first.element, array.header.shape == first.shape
                else {
                    throw DataError(
                        .badRecord, file: array.file.name, what: "array",
                        expected: "\(first.element.rawValue) \(first.shape), as the first",
                        found: "\(array.header.element.rawValue) \(array.header.shape)")
                }
            } catch {
                throw DataError(
                    error.kind == .unreadable ? .unreadable : .badRecord, file: table.name(record),
                    what: error.what, expected: error.expected, found: error.found,
                    advice: error.advice)
            }
            try decoder.read(array, first: 0, into: elements, what: table.name(record))
        }

        func digest(_ record: Int) throws(DataError) -> [UInt8]? {
            guard decoder == nil else { return nil }
            let count = try load(record)
            return SHA256.hash(data: bytes[..<count])
        }

        func originalSize(_ record: Int) throws(DataError) -> (height: Int, width: Int)? {
            guard decoder == nil else { return nil }
            let count = try load(record)
            let result = bytes.withUnsafeBytes { bytes in
                Result { () throws(PictureError) in
                    try Pictures.probe(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
                }
            }
            do throws(PictureError) {
                let facts = try result.get()
                return (facts.height, facts.width)
            } catch {
                throw PictureReader.failure(error, file: table.name(record))
            }
        }

        func takeRemarks() -> [String: Int] { pictures?.takeRemarks() ?? [:] }
    }
}
