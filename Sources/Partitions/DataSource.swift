import Checksums

/// Finds out what a source holds without keeping it.
public enum DataSource {
    /// Reads the source once, in constant memory, and checks it: sizes, ends, checksums of
    /// compressed files, the range of every label. Of a partitioned directory it reads the
    /// manifest, every header and every label, but not the images, which each reader checks against
    /// their SHA-256.
    public static func describe(
        _ specification: DataSpecification
    ) throws(DataError) -> DataSetDescription {
        if case .partitions(let directory) = specification {
            let directory = try PartitionDirectory(path: directory)
            for split in DataSplit.allCases {
                for entry in directory.manifest.entries(split) { try directory.inspect(entry) }
            }
            return directory.description
        }
        let source = try byteSource(specification)
        let training = try SplitReader(source, .training).scan()
        let test = try SplitReader(source, .test).scan()
        return try description(source, training: training, test: test)
    }

    static func byteSource(
        _ specification: DataSpecification
    ) throws(DataError) -> any ByteSource {
        switch specification {
        case .fashionMNIST: try IDXSource(fashionMNISTIn: IDXSource.fashionMNISTDirectory)
        case .idx(let directory): IDXSource(directory: directory)
        case .cifar10(let directory): CIFARSource(directory: directory)
        case .partitions: preconditionFailure("a partitioned directory is no byte source")
        }
    }

    static func description(
        _ source: any ByteSource, training: SplitSummary, test: SplitSummary
    ) throws(DataError) -> DataSetDescription {
        guard training.shape == test.shape else {
            throw DataError(
                .sizeMismatch, file: test.segments[0].file, what: "shape of the test images",
                expected: "\(training.shape), as in \(training.segments[0].file)",
                found: "\(test.shape)",
                advice: "use the files of one data set")
        }
        var lines = ["convoy-data 1", "U8 \(training.shape)"]
        for summary in [training, test] {
            lines.append("\(summary.recordCount) \(summary.digests.joined(separator: " "))")
        }
        let fingerprint = SHA256.hash(data: Array(lines.joined(separator: "\n").utf8))
        return DataSetDescription(
            name: source.name, shape: training.shape,
            classCount: source.classCount ?? max(training.largestLabel, test.largestLabel) + 1,
            trainingCount: training.recordCount, testCount: test.recordCount, elementType: .U8,
            fingerprint: hexadecimal(fingerprint))
    }
}
