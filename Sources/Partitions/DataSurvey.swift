extension DataSource {
    /// Finds out what a run must know of its data without keeping it: the description, behind the
    /// transformations, and the records of each training partition.
    ///
    /// - Parameter partitionCount: pieces of the training split; a partitioned directory has its own.
    public static func survey(
        _ specification: DataSpecification, partitionCount: Int,
        transformations: [Transformation] = []
    ) throws(DataError) -> (description: DataSetDescription, partitionRecordCounts: [Int]) {
        let description = try describe(specification)
        for transformation in transformations { try transformation.check(shape: description.shape) }
        let counts: [Int]
        if case .partitions(let path) = specification {
            counts = try PartitionDirectory(path: path).manifest.entries(.training).map(\.records)
        } else {
            try DataSet.check(partitionCount, recordCount: description.trainingCount)
            counts = (0..<partitionCount).map {
                evenCut(
                    count: description.trainingCount, pieceCount: partitionCount, index: $0
                ).count
            }
        }
        return (description.transformed(by: transformations), counts)
    }
}
