import Checksums
import FoundationEssentials
import Glibc
import SafeTensors

/// Imports sources into the cache.
public struct DataImport: Sendable {
    /// The cache that imported sets lie in.
    public var cache: DataCache
    /// The number of threads that decode.
    public var threadCount: Int
    /// Is told how far the import is.
    public var progress: ImportProgress?
    /// Is told what became of an import; it is not called for a set that is in the cache.
    public var completion: (@Sendable (Facts) -> Void)?

    /// What is known of an imported set beside its partitions: the file `import.json`.
    public struct Facts: Codable, Sendable {
        /// The source as it was written.
        public var source: String
        /// Its options that are not the default.
        public var options: String
        /// The records that were left out because they could not be decoded, with the reasons.
        public var skipped: [String: String]
        /// Notes for the user, one line each.
        public var remarks: [String]
    }

    static let factsFile = "import.json"
    private static let lockLimit = 600

    /// Creates an importer.
    public init(
        cache: DataCache, threadCount: Int? = nil, progress: ImportProgress? = nil,
        completion: (@Sendable (Facts) -> Void)? = nil
    ) {
        self.cache = cache
        self.completion = completion
        self.threadCount = threadCount ?? Parallel.processorCount
        self.progress = progress
    }

    /// Returns the directory of an imported set, which is imported first unless it is in the cache.
    public func directory(
        _ specification: DataSpecification, partitionCount: Int
    ) throws(DataError) -> String {
        try DataSet.check(partitionCount, recordCount: nil)
        let source = try specification.source()
        let files = try source.files()
        try cache.prepare()
        let name = name(specification, partitionCount)
        let (stamp, isOld) = try stamp(files)
        if let key = cache.knownKey(name, stamp: stamp), let path = cache.find(key) { return path }
        let key = try key(specification, files, partitionCount)
        // A change within the resolution of the clock would go unnoticed.
        defer { if isOld { cache.remember(key, name, stamp: stamp) } }
        if let path = cache.find(key) { return path }
        return try compile(source, specification, files, partitionCount, key)
    }

    /// Returns the directory of an imported set if it is in the cache; nil otherwise. Nothing is
    /// decoded, and no file is read whose state the system says is known.
    public func find(
        _ specification: DataSpecification, partitionCount: Int
    ) throws(DataError) -> String? {
        let files = try specification.source().files()
        let (stamp, _) = try stamp(files)
        let name = name(specification, partitionCount)
        if let key = cache.knownKey(name, stamp: stamp) { return cache.find(key) }
        return cache.find(try key(specification, files, partitionCount))
    }

    /// Returns the directory of an imported set if it is in the cache and its files are those that the
    /// cache remembers; nil otherwise. No file is read.
    func findRemembered(
        _ specification: DataSpecification, _ files: FileList, partitionCount: Int
    ) throws(DataError) -> String? {
        let (stamp, _) = try stamp(files)
        return cache.knownKey(name(specification, partitionCount), stamp: stamp)
            .flatMap(cache.find)
    }

    /// Reads what is known of an imported set.
    public static func facts(_ directory: String) -> Facts? {
        guard let file = try? ReadOnlyFile(path: "\(directory)/\(factsFile)"),
            let bytes = try? file.bytes(at: 0, byteCount: min(file.byteCount, 64 << 20))
        else { return nil }
        return try? JSONDecoder().decode(Facts.self, from: Data(bytes))
    }

    // MARK: Keys

    private func kinds(_ specification: DataSpecification) -> [any RecordSource.Type] {
        [specification.kind] + specification.options.union.map(\.specification.kind)
    }

    /// The lines that decide the records beside the files.
    private func terms(_ specification: DataSpecification, _ partitionCount: Int) -> [String] {
        ["convoy-import 1", "partitions \(partitionCount)"]
            + kinds(specification).map { "\($0.scheme) \($0.decoderVersion)" }
            + [specification.options.canonicalText]
    }

    private func name(_ specification: DataSpecification, _ partitionCount: Int) -> String {
        let places = [specification] + specification.options.union.map(\.specification)
        return (terms(specification, partitionCount) + places.map { "\($0)" })
            .joined(separator: "\n")
    }

    /// Returns a digest of what the system says of the files, and whether the newest change is so old
    /// that a later one would show.
    private func stamp(_ files: FileList) throws(DataError) -> (digest: String, isOld: Bool) {
        let stamps = try Parallel.map(
            files.count, threadCount: threadCount, {},
            { (_, index) throws(DataError) in try files.open(index).stamp })
        var hash = SHA256()
        var newest = 0
        for (index, stamp) in stamps.enumerated() {
            hash.update(data: files.path(index))
            hash.update(data: Array(" \(stamp)\n".utf8))
            newest = max(newest, stamp.modified, stamp.changed)
        }
        let now = Int(time(nil)) * 1_000_000_000
        return (hexadecimal(hash.finalize()), newest < now - 2_000_000_000)
    }

    /// Returns the key of a set: a digest of what decides its bytes.
    private func key(
        _ specification: DataSpecification, _ files: FileList, _ partitionCount: Int
    ) throws(DataError) -> String {
        let digests = try Parallel.map(
            files.count, threadCount: threadCount, { [UInt8]() },
            { (buffer, index) throws(DataError) in try files.open(index).digest(&buffer) })
        var hash = SHA256()
        hash.update(data: Array(terms(specification, partitionCount).joined(separator: "\n").utf8))
        for (index, digest) in digests.enumerated() {
            hash.update(data: [0x0A] + files.path(index) + [0x20] + digest)
        }
        return hexadecimal(hash.finalize())
    }

    // MARK: Compiling

    private func compile(
        _ source: any RecordSource, _ specification: DataSpecification, _ files: FileList,
        _ partitionCount: Int, _ key: String
    ) throws(DataError) -> String {
        let path = cache.path(key)
        let part = "\(path).part"
        let lock = try ImportLock(
            "\(path).lock", limit: Self.lockLimit,
            lastWork: { DataCache.lastChange(in: part) }, isDone: { cache.find(key) != nil })
        guard let lock else { return path }
        defer { withExtendedLifetime(lock) {} }
        let found = try source.scan(files)
        let scan = try RecordSelection.select(found, specification, threadCount: threadCount)
        let plan = try ImportPlan(scan, partitionCount: partitionCount)
        try DataCache.makeDirectory(part)
        let notes = try PartitionCompiler(
            plan, directory: part, policy: specification.options.image.badRecords,
            threadCount: threadCount, progress: progress
        ).run()
        let manifest = plan.manifest { notes[$0]!.entry }
        try manifest.check(file: "\(specification)")
        let facts = facts(specification, files, found, notes)
        try write(facts, part)
        for reference in plan.references {
            unlink("\(part)/\(PartitionRendering.fileName(reference.split, reference.index)).json")
        }
        try PartitionWriter.write(manifest, directory: part)
        try writing { () throws(SystemCallError) in try WritableFile.rename(part, to: path) }
        // Whoever waits for the lock finds the set now. After a failure the file has to stay, or two
        // processes would hold locks of two files.
        unlink("\(path).lock")
        completion?(facts)
        cache.makeRoom(sparing: key)
        return path
    }

    private func facts(
        _ specification: DataSpecification, _ files: FileList, _ scan: SourceScan,
        _ notes: [PartitionReference: PartitionCompiler.Note]
    ) -> Facts {
        var counts: [String: Int] = [:]
        var skipped: [String: String] = [:]
        for note in notes.values {
            counts.merge(note.remarks, uniquingKeysWith: +)
            for record in note.skipped { skipped[record.name] = record.reason }
        }
        var remarks = files.remarks + scan.remarks
        remarks += counts.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
        if !skipped.isEmpty {
            remarks.append(
                "\(skipped.count) records are left out because they cannot be decoded, the first: "
                    + (skipped.min { $0.key < $1.key }?.value ?? ""))
        }
        return Facts(
            source: "\(specification)", options: specification.options.canonicalText,
            skipped: skipped, remarks: remarks)
    }

    private func write(_ facts: Facts, _ directory: String) throws(DataError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(facts) else {
            preconditionFailure("facts of strings did not encode")
        }
        let file = try OpenFile(path: "\(directory)/\(Self.factsFile)")
        try file.write([UInt8](data) + [0x0A])
        try file.finish(synchronizing: false)
    }
}
