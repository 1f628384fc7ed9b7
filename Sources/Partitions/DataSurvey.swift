extension DataSource {
    /// Finds out what a run must know about its data without keeping the records.
    ///
    /// - Parameters:
    ///   - specification: the source of the data.
    ///   - partitionCount: the number of partitions of the training split. A partitioned directory
    ///     ignores it and has its own.
    ///   - transformations: the transformations that the run applies.
    ///   - importer: imports what has to be decoded; nil for the user's cache.
    /// - Returns: the description of the data behind the transformations, and the number of records
    ///   in each training partition.
    /// - Throws: what `describe(_:)` throws, and `badSetting` when a transformation or the
    ///   partition count does not fit.
    public static func survey(
        _ specification: DataSpecification, partitionCount: Int,
        transformations: [Transformation] = [], importer: DataImport? = nil
    ) throws(DataError) -> (description: DataSetDescription, partitionRecordCounts: [Int]) {
        if let path = try partitionedPath(specification, partitionCount, importer) {
            let directory = try inspected(path, specification)
            return (
                try directory.description.transformed(by: transformations),
                directory.manifest.entries(.training).map(\.records)
            )
        }
        let description = try bytesSource(specification).describe()
        let transformed = try description.transformed(by: transformations)
        try DataSet.check(partitionCount, recordCount: description.trainingCount)
        let counts = (0..<partitionCount).map {
            evenCut(count: description.trainingCount, pieceCount: partitionCount, index: $0).count
        }
        return (transformed, counts)
    }
}
