import Crypto
import FoundationEssentials
import SafeTensors

/// Writes a data set as a partitioned directory.
public enum PartitionWriter {
    /// Writes both splits and, last of all, the manifest; what is there without one is unfinished.
    ///
    /// The training split becomes `partitionCount` files, the test split as many as keep the files'
    /// sizes alike. Equal data gives equal bytes.
    ///
    /// - Throws: for a directory that holds something already, a count that does not fit, and disks
    ///   that are full or read-only.
    @discardableResult
    public static func write(
        _ dataSet: DataSet, partitionCount: Int, directory: String
    ) throws(DataError) -> PartitionManifest {
        let description = dataSet.description
        guard dataSet.transformations.isEmpty else {
            throw DataError(
                .badSetting, file: directory, what: "transformations of the data to write",
                expected: "none, since they apply when a record is read",
                found: "\(dataSet.transformations.count)")
        }
        guard (1...description.trainingCount).contains(partitionCount) else {
            throw DataError(
                .badSetting, file: "partitions", what: "partition count",
                expected: "1 to the \(description.trainingCount) training records",
                found: "\(partitionCount) partitions", advice: "use fewer partitions")
        }
        try prepare(directory)
        let (scaled, overflow) = partitionCount.multipliedReportingOverflow(
            by: description.testCount)
        let testPartitionCount =
            overflow ? 1 : max(1, (scaled - 1) / description.trainingCount + 1)
        let manifest = PartitionManifest(
            name: description.name, shape: description.shape, dtype: description.elementType,
            classes: description.classCount,
            training: try write(
                .training, of: dataSet, count: partitionCount, directory: directory),
            test: try write(
                .test, of: dataSet, count: min(testPartitionCount, description.testCount),
                directory: directory))
        try write(manifest, directory: directory)
        return manifest
    }

    private static func prepare(_ directory: String) throws(DataError) {
        do {
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true)
            let names = try FileManager.default.contentsOfDirectory(atPath: directory)
            guard names.isEmpty else {
                throw DataError(
                    .unwritable, file: directory, what: "directory to write",
                    expected: "an empty one",
                    found: "\(names.count) entries", advice: "give another directory or remove it")
            }
        } catch let error as DataError {
            throw error
        } catch {
            throw DataError(
                .unwritable, file: directory, what: "cannot make the directory",
                expected: "success",
                found: "\(error)", advice: "check the path and its permissions")
        }
    }

    private static func write(
        _ split: DataSplit, of dataSet: DataSet, count: Int, directory: String
    ) throws(DataError) -> [PartitionManifest.Entry] {
        let description = dataSet.description
        var entries: [PartitionManifest.Entry] = []
        for index in 0..<count {
            let range = evenCut(
                count: description.recordCount(split), pieceCount: count, index: index)
            let (images, labels) = try dataSet.stored(split, range: range)
            var histogram = [Int](repeating: 0, count: description.classCount)
            for label in labels { histogram[Int(label)] += 1 }
            let digits = String(index)
            let padding = String(repeating: "0", count: max(0, 5 - digits.count))
            let name = "\(split.rawValue)-\(padding)\(digits).safetensors"
            let bytes = try encode(images: images, labels: labels, description: description)
            try write(bytes, path: "\(directory)/\(name)")
            entries.append(
                PartitionManifest.Entry(
                    file: name, records: range.count, histogram: histogram,
                    sha256: hexadecimal(SHA256.hash(data: bytes))))
        }
        return entries
    }

    /// Labels first: their elements are the wider ones, or as wide.
    private static func encode(
        images: [UInt8], labels: [Int32], description: DataSetDescription
    ) throws(DataError) -> [UInt8] {
        let labelTensor = SafeTensor(name: "labels", shape: [labels.count], int32s: labels)
        let imageTensor = SafeTensor(
            name: "images", dataType: description.elementType == .U8 ? .U8 : .F32,
            shape: [labels.count] + description.shape, bytes: images)
        return try tensors { () throws(SafeTensorsError) in
            try SafeTensorsFile.encode(tensors: [labelTensor, imageTensor])
        }
    }

    private static func write(_ bytes: [UInt8], path: String) throws(DataError) {
        try writing { () throws(SystemCallError) in
            let file = try WritableFile.create(path: path)
            try file.write(bytes)
            try file.finish(synchronizing: true)
        }
    }

    private static func write(
        _ manifest: PartitionManifest, directory: String
    ) throws(DataError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(manifest) else {
            preconditionFailure("a manifest of integers and strings did not encode")
        }
        let path = "\(directory)/\(PartitionManifest.fileName)"
        try write([UInt8](data) + [0x0A], path: path + ".tmp")
        try writing { () throws(SystemCallError) in
            try WritableFile.rename(path + ".tmp", to: path)
            try WritableFile.synchronizeDirectory(directory)
        }
    }
}
