/// Consecutive records of a split that are stored in one file.
struct SourceSegment: Sendable {
    /// The path of the file with the images.
    let file: String
    /// The path of the file with the labels, for errors about labels.
    let labelFile: String
    let recordCount: Int
}

/// One split of a source, read once from its start.
///
/// Memory: constant, whatever the source's size.
/// Threading: one thread only.
protocol RecordStream: AnyObject {
    /// The shape [C, H, W] of one image.
    var shape: [Int] { get }
    var recordCount: Int { get }
    /// The files of the split in record order.
    var segments: [SourceSegment] { get }

    /// Decodes the next `count` records.
    ///
    /// - Parameters:
    ///   - count: the number of records, at most those that are left.
    ///   - images: receives the images as bytes, [count, C, H, W].
    ///   - labels: receives the labels, [count].
    func read(
        count: Int, images: UnsafeMutableRawPointer, labels: UnsafeMutablePointer<Int32>
    ) throws(DataError)

    /// Checks the ends of the files after the last record was read. Throws when a file holds more
    /// or does not end as it must.
    func finish() throws(DataError)
}

extension RecordStream {
    /// The number of bytes in one image.
    var imageByteCount: Int { shape.reduce(1, *) }
}
