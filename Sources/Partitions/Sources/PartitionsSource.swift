import SafeTensors

/// A partitioned directory, whose records are already stored as they are read.
struct PartitionsSource: RecordSource {
    static let scheme = "partitions"
    static let form = "partitions:DIR"
    static let summary = "partitions with a manifest, as Spark, Python and convoy partition write them"

    private let path: String

    init(_ specification: DataSpecification) { path = specification.location }

    func files() throws(DataError) -> FileList {
        let manifest = try PartitionDirectory(path: path).manifest
        return FileList(
            root: path,
            names: [PartitionManifest.fileName] + (manifest.training + manifest.test).map(\.file))
    }

    func scan(_ files: FileList) throws(DataError) -> SourceScan {
        let set = try DataSet.open(.partitions(directory: path), partitionCount: 1)
        let description = set.description
        let directory = try PartitionDirectory(path: path)
        return SourceScan(
            name: description.name, shape: description.shape, elementType: description.elementType,
            classNames: description.classNames, classCount: description.classCount,
            targetCount: description.targetCount, training: try StoredTable(set, directory, .training),
            test: try StoredTable(set, directory, .test), isSpread: false)
    }
}

/// The records of one split of a partitioned directory.
private final class StoredTable: RecordTable {
    let labels: [Int32]
    let targets: [Float]
    private let records: DataSet
    private let split: DataSplit

    init(
        _ set: DataSet, _ directory: PartitionDirectory, _ split: DataSplit
    ) throws(DataError) {
        records = set
        self.split = split
        var (labels, targets) = ([Int32](), [Float]())
        for entry in directory.manifest.entries(split) {
            let answers = try directory.answers(entry)
            labels += answers.labels
            targets += answers.targets
        }
        self.labels = labels
        self.targets = targets
    }

    var count: Int { records.description.recordCount(split) }
    func name(_ record: Int) -> String { "\(split.rawValue)#\(record)" }
    func reader() -> any RecordReader { Reader(self) }

    private final class Reader: RecordReader {
        private let table: StoredTable

        init(_ table: StoredTable) { self.table = table }

        func read(_ record: Int, into elements: UnsafeMutableRawPointer) throws(DataError) {
            let images = try table.records.stored(table.split, range: record..<record + 1).images
            images.withUnsafeBytes {
                elements.copyMemory(from: $0.baseAddress!, byteCount: $0.count)
            }
        }
    }
}
