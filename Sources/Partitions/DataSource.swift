import Checksums

/// Describes the contents of a source without keeping them.
public enum DataSource {
    /// Reads a source once, in constant memory, and checks it: sizes, ends of files, checksums of
    /// compressed files and the range of every label.
    ///
    /// For a partitioned directory the manifest, every header and every label are read. The images
    /// are not read; each reader checks them against their SHA-256.
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

    /// Returns the reader of a source whose records are bytes. A partitioned directory is a
    /// programming error.
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

    /// Returns the description of a source after both splits have been read.
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
        let classCount =
            source.classCount ?? max(1, training.histogram.count, test.histogram.count)
        let unused = [Int](repeating: 0, count: classCount - training.histogram.count)
        return DataSetDescription(
            name: source.name, shape: training.shape,
            classCount: classCount, classHistogram: training.histogram + unused,
            trainingCount: training.recordCount, testCount: test.recordCount, elementType: .U8,
            fingerprint: hexadecimal(fingerprint))
    }
}
