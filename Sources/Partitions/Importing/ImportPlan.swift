/// What an import makes of a source: which records, in which order, in which partitions.
///
/// The plan is a function of the source's files and options alone. Who decodes which record, and
/// when, cannot change a byte of a partition.
struct ImportPlan: Sendable {
    let scan: SourceScan
    let outline: PartitionOutline
    let classCount: Int
    /// The records of each partition, by their numbers in the split's table.
    let training: [[Int]]
    let test: [[Int]]

    /// Plans the import of what a source has found.
    ///
    /// - Throws: `badSetting` when the partition count does not fit.
    init(_ scan: SourceScan, partitionCount: Int) throws(DataError) {
        try DataSet.check(partitionCount, recordCount: scan.training.count)
        self.scan = scan
        outline = PartitionOutline(
            shape: scan.shape, elementType: scan.elementType, targetCount: scan.targetCount)
        let largest = max(scan.training.labels.max() ?? 0, scan.test.labels.max() ?? 0)
        classCount = scan.targetCount == nil ? scan.classCount ?? Int(largest) + 1 : 0
        let order = scan.isSpread ? scan.training.spread() : Array(0..<scan.training.count)
        training = Self.cut(order, partitionCount)
        test = Self.cut(
            Array(0..<scan.test.count),
            PartitionRendering.testPieceCount(
                trainingCount: scan.training.count, testCount: scan.test.count,
                trainingPieceCount: partitionCount))
    }

    private static func cut(_ records: [Int], _ pieceCount: Int) -> [[Int]] {
        (0..<pieceCount).map {
            Array(records[evenCut(count: records.count, pieceCount: pieceCount, index: $0)])
        }
    }

    /// Returns the records of a split, partition by partition.
    func records(_ split: DataSplit) -> [[Int]] { split == .training ? training : test }
    /// Returns the records of a split.
    func table(_ split: DataSplit) -> any RecordTable {
        split == .training ? scan.training : scan.test
    }

    /// All partitions, training before test.
    var references: [PartitionReference] {
        DataSplit.allCases.flatMap { split in
            records(split).indices.map { PartitionReference(split, $0) }
        }
    }

    /// Returns the manifest of the partitions with these entries.
    func manifest(_ entry: (PartitionReference) -> PartitionManifest.Entry) -> PartitionManifest {
        func entries(_ split: DataSplit) -> [PartitionManifest.Entry] {
            records(split).indices.map { entry(PartitionReference(split, $0)) }
        }
        return PartitionManifest(
            name: scan.name, shape: scan.shape, dtype: scan.elementType, classes: classCount,
            classNames: scan.classNames, targets: scan.targetCount, training: entries(.training),
            test: entries(.test))
    }
}
