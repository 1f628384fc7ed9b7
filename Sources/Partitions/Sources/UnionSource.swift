import Checksums

/// The records of several sources as one set. The run file's `data.union` lists them.
struct UnionSource: RecordSource {
    static let scheme = "union"
    static let form = "union"
    static let summary = "the sources of data.union"

    private let members: [UnionMember]

    init(_ specification: DataSpecification) throws(DataError) {
        guard !specification.options.union.isEmpty else {
            throw DataError(
                .badSetting, file: "data.union", what: "members", expected: "at least 1", found: "none")
        }
        members = specification.options.union
        for member in members where member.specification.scheme == Self.scheme {
            throw DataError(
                .badSetting, file: "data.union", what: "source of a member",
                expected: "a source that is no union", found: "union")
        }
    }

    func files() throws(DataError) -> FileList {
        var list = FileList(root: "")
        for member in members {
            let source = try member.specification.source()
            list.append(try source.files())
        }
        return list
    }

    func scan(_ files: FileList) throws(DataError) -> SourceScan {
        var scans: [SourceScan] = []
        for member in members {
            let source = try member.specification.source()
            scans.append(try source.scan(source.files()))
        }
        let first = scans[0]
        for (scan, member) in zip(scans, members) {
            guard scan.shape == first.shape, scan.elementType == first.elementType,
                scan.targetCount == first.targetCount
            else {
                throw DataError(
                    .sizeMismatch, file: "\(member.specification)", what: "records of a union",
                    expected: "\(first.elementType.rawValue) \(first.shape), as in "
                        + "\(members[0].specification)",
                    found: "\(scan.elementType.rawValue) \(scan.shape)",
                    advice: "give data.image one size and number of channels")
            }
        }
        let (names, numbers) = try classes(scans)
        func table(_ split: DataSplit) -> any RecordTable {
            var tables: [any RecordTable] = []
            var prefixes: [String] = []
            for (index, scan) in scans.enumerated() {
                let base = split == .training ? scan.training : scan.test
                let labels = base.labels.map { numbers[index][Int($0)] }
                let view = RecordView(base, Array(0..<base.count), labels: labels)
                let repeats = split == .training ? members[index].weight : 1
                for copy in 0..<repeats {
                    tables.append(view)
                    prefixes.append("\(index)/" + (copy == 0 ? "" : "\(copy)~"))
                }
            }
            return RecordUnion(tables, prefixes: prefixes)
        }
        var result = SourceScan(
            name: scans.map(\.name).joined(separator: "+"), shape: first.shape,
            elementType: first.elementType, classNames: names,
            classCount: first.targetCount == nil ? names?.count ?? scans.compactMap(\.classCount).max() : nil,
            targetCount: first.targetCount, training: table(.training), test: table(.test))
        result.remarks = scans.flatMap(\.remarks)
        return result
    }

    /// Returns the names of the classes of all members, and for each member the new number of each of
    /// its labels. Members with names are joined by name, others by number.
    private func classes(
        _ scans: [SourceScan]
    ) throws(DataError) -> (names: [String]?, numbers: [[Int32]]) {
        let known = scans.compactMap(\.classNames)
        guard known.isEmpty || known.count == scans.count else {
            let index = scans.firstIndex { $0.classNames == nil } ?? 0
            throw DataError(
                .badSetting, file: "\(members[index].specification)", what: "names of the classes",
                expected: "some, as the other members of the union have", found: "none")
        }
        guard !known.isEmpty else {
            return (
                nil,
                scans.map { scan in
                    let most = max(scan.training.labels.max() ?? 0, scan.test.labels.max() ?? 0)
                    return Array(0...max(most, 0))
                }
            )
        }
        var names: [String] = []
        for name in known.joined() where !names.contains(name) { names.append(name) }
        return (names, known.map { $0.map { Int32(names.firstIndex(of: $0)!) } })
    }
}
