import Checksums
import Glibc
import Pictures
import SafeTensors

/// A directory of pictures in which the folder of a picture is its class.
///
/// The classes are the names of the folders in the order of their bytes, and the pictures of a class
/// come in the order of their folders and names, as torchvision's `ImageFolder` has them. Folders
/// `train` and `val` or `test` hold the two splits where they are there.
/// Source: torchvision, `datasets/folder.py`.
struct ImagesSource: RecordSource {
    static let scheme = "images"
    static let form = "images:DIR"
    static let summary = "JPEG, PNG and WebP files; the folder is the class"
    static var decoderVersion: String { Pictures.decoderVersion }

    /// The endings of the files that are read.
    static let endings: Set<String> = ["jpg", "jpeg", "png", "webp"]
    private static let maximumDepth = 64
    private static let maximumFileCount = 1 << 27

    private let root: String
    private let options: ImageOptions

    init(_ specification: DataSpecification) throws(DataError) {
        root = specification.location
        options = specification.options.image
        if let channels = options.picture.channels, channels != 1, channels != 3 {
            throw DataError(
                .badSetting, file: "data.image.channels", what: "channels", expected: "1 or 3",
                found: "\(channels)")
        }
    }

    // MARK: Listing

    /// The folders of the splits, below the root; "" where the root itself holds the classes.
    private struct Layout {
        var training = ""
        var test: String?
    }

    private func layout() throws(DataError) -> Layout {
        let names = Set(try DirectoryListing(root).directories.map(Self.text))
        guard let training = ["train", "training"].first(where: names.contains) else {
            return Layout()
        }
        let test = ["val", "valid", "validation", "test", "testing"].first(where: names.contains)
        return Layout(training: training, test: test)
    }

    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    func files() throws(DataError) -> FileList {
        try requireDirectory(root, holding: "a folder for each class")
        var list = FileList(root: root)
        let layout = try layout()
        var walk = PictureWalk(root: root)
        for folder in [layout.training] + (layout.test.map { [$0] } ?? []) {
            let place = folder.isEmpty ? root : "\(root)/\(folder)"
            let classes = try DirectoryListing(place).directories.filter { $0.first != 0x2E }
            guard !classes.isEmpty else {
                throw DataError(
                    .emptySet, file: place, what: "folders of classes", expected: "at least 1",
                    found: "none", advice: "put the pictures of each class into a folder of its name")
            }
            for name in classes {
                guard String(validating: name, as: UTF8.self) != nil else {
                    throw DataError(
                        .badSetting, file: "\(place)/\(Self.text(name))", what: "name of the class",
                        expected: "UTF-8", found: "other bytes", advice: "rename the folder")
                }
                let prefix = (folder.isEmpty ? [] : Array(folder.utf8) + [0x2F]) + name
                let before = list.count
                try walk.append(prefix, to: &list)
                guard list.count > before || options.allowsEmptyClasses || folder == layout.test
                else {
                    throw DataError(
                        .emptySet, file: "\(place)/\(Self.text(name))",
                        what: "pictures of the class",
                        expected: "at least 1 file named *.jpg, *.jpeg, *.png or *.webp",
                        found: "none",
                        advice: "remove the folder, or set data.image.allow-empty: true")
                }
                guard list.count <= Self.maximumFileCount else {
                    throw DataError(
                        .badSetting, file: root, what: "number of pictures",
                        expected: "at most \(Self.maximumFileCount)", found: "more")
                }
            }
        }
        guard list.count > 0 else {
            throw DataError(
                .emptySet, file: root, what: "pictures", expected: "at least 1", found: "none")
        }
        list.remarks += walk.remarks
        return list
    }

    // MARK: Scanning

    func scan(_ files: FileList) throws(DataError) -> SourceScan {
        let layout = try layout()
        let isSplit = !layout.training.isEmpty
        let trainingPlace = isSplit ? "\(root)/\(layout.training)" : root
        var names: [String] = []
        for name in try DirectoryListing(trainingPlace).directories where name.first != 0x2E {
            names.append(Self.text(name))
        }
        let numbers = Dictionary(uniqueKeysWithValues: zip(names, Int32(0)...))
        var places: [DataSplit: (files: [Int], labels: [Int32])] = [
            .training: ([], []), .test: ([], []),
        ]
        for index in 0..<files.count {
            let parts = files.path(index).split(separator: 0x2F, maxSplits: isSplit ? 2 : 1)
            let folder = isSplit ? Self.text(Array(parts[0])) : ""
            let name = Self.text(Array(parts[isSplit ? 1 : 0]))
            let split: DataSplit = folder == layout.training ? .training : .test
            guard let label = numbers[name] else {
                throw DataError(
                    .badSetting, file: "\(root)/\(folder)/\(name)", what: "class of test records",
                    expected: "one of the \(names.count) classes in \(trainingPlace)",
                    found: "'\(name)'", advice: "rename or remove the folder")
            }
            places[split]!.files.append(index)
            places[split]!.labels.append(label)
        }
        let shape = try options.shape(example: { () throws(DataError) in
            var bytes: [UInt8] = []
            let file = try files.open(0)
            try file.readAll(into: &bytes, limit: PictureReader.maximumByteCount)
            return (Array(bytes[..<file.byteCount]), files.fullName(0))
        })
        func table(_ split: DataSplit) -> PictureTable {
            PictureTable(
                files, places[split]!.files, labels: places[split]!.labels, shape: shape,
                options: options.picture)
        }
        return SourceScan(
            name: root.split(separator: "/").last.map(String.init) ?? "images", shape: shape,
            classNames: names, training: table(.training), test: table(.test))
    }
}

/// Pictures in files of their own.
private final class PictureTable: RecordTable {
    let labels: [Int32]
    private let files: FileList
    private let indices: [Int]
    private let shape: [Int]
    private let options: PictureOptions

    init(
        _ files: FileList, _ indices: [Int], labels: [Int32], shape: [Int], options: PictureOptions
    ) {
        self.files = files
        self.indices = indices
        self.labels = labels
        self.shape = shape
        self.options = options
    }

    var count: Int { indices.count }
    func name(_ record: Int) -> String { files.name(indices[record]) }
    func reader() -> any RecordReader { Reader(self) }

    private final class Reader: RecordReader {
        private let table: PictureTable
        private let pictures: PictureReader
        private var bytes: [UInt8] = []

        init(_ table: PictureTable) {
            self.table = table
            pictures = PictureReader(
                table.options, shape: table.shape, example: table.files.fullName(0))
        }

        /// Reads a file into the reader's memory and returns the number of its bytes.
        private func load(_ record: Int) throws(DataError) -> Int {
            let file = try table.files.open(table.indices[record])
            try file.readAll(into: &bytes, limit: PictureReader.maximumByteCount)
            return file.byteCount
        }

        func read(_ record: Int, into elements: UnsafeMutableRawPointer) throws(DataError) {
            let count = try load(record)
            let result = bytes.withUnsafeBytes { bytes in
                Result { () throws(DataError) in
                    try pictures.decode(
                        UnsafeRawBufferPointer(rebasing: bytes[..<count]),
                        file: table.files.fullName(table.indices[record]), into: elements)
                }
            }
            try result.get()
        }

        func digest(_ record: Int) throws(DataError) -> [UInt8]? {
            try table.files.open(table.indices[record]).digest(&bytes)
        }

        func originalSize(_ record: Int) throws(DataError) -> (height: Int, width: Int)? {
            let count = try load(record)
            do throws(PictureError) {
                let facts = try bytes.withUnsafeBytes { bytes in
                    Result { () throws(PictureError) in
                        try Pictures.probe(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
                    }
                }.get()
                return (facts.height, facts.width)
            } catch {
                throw PictureReader.failure(error, file: table.files.fullName(table.indices[record]))
            }
        }

        func takeRemarks() -> [String: Int] { pictures.takeRemarks() }
    }
}

/// The entries of a directory, in the order of the bytes of their names.
struct DirectoryListing {
    /// The names of directories, and of links to directories.
    private(set) var directories: [[UInt8]] = []
    /// The names of all other entries.
    private(set) var others: [[UInt8]] = []

    /// Lists a directory.
    ///
    /// - Throws: `unreadable`.
    init(_ path: String) throws(DataError) { try self.init(bytes: Array(path.utf8), name: path) }

    init(bytes path: [UInt8], name: String) throws(DataError) {
        guard let handle = opendir(path.map { CChar(bitPattern: $0) } + [0]) else {
            throw DataError(
                .unreadable, file: name, what: "cannot list the directory", expected: "success",
                found: "\(String(cString: strerror(errno))) (errno \(errno))",
                advice: "check the path and its permissions")
        }
        defer { closedir(handle) }
        while let entry = readdir(handle) {
            let bytes = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
            if bytes == [0x2E] || bytes == [0x2E, 0x2E] { continue }
            var isDirectory = entry.pointee.d_type == UInt8(DT_DIR)
            if entry.pointee.d_type == UInt8(DT_LNK) || entry.pointee.d_type == UInt8(DT_UNKNOWN) {
                var status = stat()
                let whole = (path + [0x2F] + bytes).map { CChar(bitPattern: $0) } + [0]
                isDirectory = stat(whole, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
            }
            if isDirectory { directories.append(bytes) } else { others.append(bytes) }
        }
        directories.sort { $0.lexicographicallyPrecedes($1) }
        others.sort { $0.lexicographicallyPrecedes($1) }
    }
}

/// Lists the files of pictures.
public enum PictureFiles {
    /// Returns a file, or the pictures in a directory and in those below it, folder by folder.
    ///
    /// - Throws: `unreadable` for a path that does not exist; `emptySet` for a directory without
    ///   pictures.
    public static func list(_ path: String) throws(DataError) -> FileList {
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw DataError(reading: SystemCallError(path: path, action: "find"))
        }
        guard status.st_mode & S_IFMT == S_IFDIR else { return FileList(root: "", names: [path]) }
        var list = FileList(root: path)
        var walk = PictureWalk(root: path)
        try walk.append([], to: &list)
        guard list.count > 0 else {
            throw DataError(
                .emptySet, file: path, what: "pictures",
                expected: "at least 1 file named *.jpg, *.jpeg, *.png or *.webp", found: "none")
        }
        return list
    }
}

/// Finds the pictures in a directory and in those below it, through links as well.
private struct PictureWalk {
    let root: String
    private var skipped: [String: Int] = [:]

    init(root: String) { self.root = root }

    /// Appends the pictures of a class: folder by folder in the order of the folders' paths, and
    /// within a folder in the order of the names.
    ///
    /// - Parameter prefix: the class's folder below the root.
    mutating func append(_ prefix: [UInt8], to list: inout FileList) throws(DataError) {
        var folders: [(path: [UInt8], files: [[UInt8]])] = []
        var chain: [Identity] = []
        try visit(prefix, &chain, &folders)
        for folder in folders.sorted(by: { $0.path.lexicographicallyPrecedes($1.path) }) {
            for file in folder.files {
                list.append(folder.path.isEmpty ? file : folder.path + [0x2F] + file)
            }
        }
    }

    private struct Identity: Equatable {
        let device: UInt64
        let inode: UInt64
    }

    private mutating func visit(
        _ path: [UInt8], _ chain: inout [Identity],
        _ folders: inout [(path: [UInt8], files: [[UInt8]])]
    ) throws(DataError) {
        let whole = Array(root.utf8) + (path.isEmpty ? [] : [0x2F]) + path
        let name = String(decoding: whole, as: UTF8.self)
        var status = stat()
        guard stat(whole.map { CChar(bitPattern: $0) } + [0], &status) == 0 else {
            throw DataError(
                .unreadable, file: name, what: "cannot inspect the directory", expected: "success",
                found: "\(String(cString: strerror(errno))) (errno \(errno))")
        }
        let identity = Identity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
        guard !chain.contains(identity), chain.count < 64 else {
            throw DataError(
                .unreadable, file: name, what: "folder", expected: "no link to a folder above it",
                found: chain.contains(identity) ? "such a link" : "64 folders in one another",
                advice: "remove the link")
        }
        chain.append(identity)
        defer { chain.removeLast() }
        let listing = try DirectoryListing(bytes: whole, name: name)
        var files: [[UInt8]] = []
        for file in listing.others {
            let ending = Self.ending(file)
            if file.first == 0x2E {
                skipped["hidden", default: 0] += 1
            } else if ImagesSource.endings.contains(ending) {
                files.append(file)
            } else {
                skipped[ending.isEmpty ? "without an ending" : "*.\(ending)", default: 0] += 1
            }
        }
        folders.append((path, files))
        for folder in listing.directories {
            try visit(path.isEmpty ? folder : path + [0x2F] + folder, &chain, &folders)
        }
    }

    /// Returns the ending of a name in lower case; "" for a name without one.
    private static func ending(_ name: [UInt8]) -> String {
        guard let dot = name.lastIndex(of: 0x2E) else { return "" }
        return String(decoding: name[(dot + 1)...], as: UTF8.self).lowercased()
    }

    var remarks: [String] {
        guard !skipped.isEmpty else { return [] }
        let kinds = skipped.sorted { $0.key < $1.key }.prefix(8).map { "\($0.value) \($0.key)" }
        return ["files that are no pictures are left out: \(kinds.joined(separator: ", "))"]
    }
}
