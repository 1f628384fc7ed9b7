import Checksums
import Glibc
import SafeTensors

/// A directory with a manifest and one safetensors file for each partition.
struct PartitionDirectory: Sendable {
    let path: String
    let manifest: PartitionManifest
    /// Keeps a set of the cache from being removed; nil for any other directory.
    private let claim: SetClaim?

    /// Opens a directory and reads its manifest.
    ///
    /// - Parameter isCached: whether the directory lies in the cache of imported sets.
    init(path: String, isCached: Bool = false) throws(DataError) {
        self.path = path
        claim = isCached ? SetClaim(path, isExclusive: false) : nil
        try requireDirectory(path, holding: PartitionManifest.fileName)
        manifest = try PartitionManifest.read(path: "\(path)/\(PartitionManifest.fileName)")
    }

    /// The description of the data set. The fingerprint covers the manifest's checksums.
    var description: DataSetDescription { manifest.description }

    /// Opens a partition's file. The file must lie below the directory, also after links are
    /// followed.
    ///
    /// - Throws: `forbiddenPath` when it does not, and `unreadable` when it cannot be opened.
    func open(_ entry: PartitionManifest.Entry) throws(DataError) -> ReadOnlyFile {
        let components = entry.file.split(separator: "/", omittingEmptySubsequences: false)
        let isPlain = components.allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." }
        guard isPlain, !entry.file.utf8.contains(0) else {
            throw forbidden(entry, leadsTo: entry.file)
        }
        let joined = "\(path)/\(entry.file)"
        let root = try resolve(path)
        let file = try resolve(joined)
        guard file.hasPrefix(root.hasSuffix("/") ? root : root + "/") else {
            throw forbidden(entry, leadsTo: file)
        }
        return try reading { () throws(SystemCallError) in try ReadOnlyFile(path: file) }
    }

    /// Returns the absolute path after links are followed.
    private func resolve(_ path: String) throws(DataError) -> String {
        guard let resolved = realpath(path, nil) else {
            throw DataError(reading: SystemCallError(path: path, action: "find"))
        }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    private func forbidden(_ entry: PartitionManifest.Entry, leadsTo: String) -> DataError {
        DataError(
            .forbiddenPath, file: "\(path)/\(PartitionManifest.fileName)", what: "partition's path",
            expected: "a file below \(path), without '..' or a leading '/'", found: "'\(leadsTo)'",
            advice: "copy the file into the directory")
    }

    /// Checks the header, length, and labels or targets of a partition's file without reading its images.
    func inspect(_ entry: PartitionManifest.Entry) throws(DataError) { _ = try answers(entry) }

    /// Returns the labels or targets of a partition, after checking its file without reading its images.
    func answers(_ entry: PartitionManifest.Entry) throws(DataError) -> RecordAnswers {
        let file = try open(entry)
        let header = try tensors { () throws(SafeTensorsError) in
            try SafeTensorsFile.readHeader(file)
        }
        let layout = try manifest.layout(header, entry, file: file.path)
        return try manifest.answers(file, layout, entry)
    }
}

extension PartitionManifest {
    /// The description of the data set. The fingerprint covers the manifest's checksums.
    var description: DataSetDescription {
        let answers = targets.map { "\($0) targets" } ?? "\(classes)"
        var lines = ["convoy-partitions 1", "\(dtype) \(shape) \(answers)"]
        for split in DataSplit.allCases {
            for entry in entries(split) {
                lines.append("\(split.rawValue) \(entry.records) \(entry.sha256)")
            }
        }
        let fingerprint = SHA256.hash(data: Array(lines.joined(separator: "\n").utf8))
        return DataSetDescription(
            name: name, shape: shape, classCount: classes,
            targetCount: targets, classHistogram: classHistogram,
            trainingCount: recordCount(.training), testCount: recordCount(.test),
            elementType: dtype, fingerprint: hexadecimal(fingerprint),
            classNames: classNames)
    }
}
