/// A stretch of a split's records that lies in one file.
struct SourceSegment: Sendable {
    /// Where the images are.
    let file: String
    /// Where the labels are; for errors about them.
    let labelFile: String
    let recordCount: Int
}

/// One split of a source, read once from its front.
///
/// Memory: constant, whatever the source's size. Threading: for one thread.
protocol RecordStream: AnyObject {
    /// [C, H, W].
    var shape: [Int] { get }
    var recordCount: Int { get }
    /// The files in record order.
    var segments: [SourceSegment] { get }

    /// Decodes the next `count` records; images as bytes, one after the other.
    func read(
        count: Int, images: UnsafeMutableRawPointer, labels: UnsafeMutablePointer<Int32>
    ) throws(DataError)

    /// After the last record: throws when the files hold more or do not end well.
    func finish() throws(DataError)
}

extension RecordStream {
    /// Bytes of one image.
    var imageByteCount: Int { shape.reduce(1, *) }
}

/// A source whose records are all bytes: it says what it is and opens its splits.
protocol ByteSource {
    var name: String { get }
    /// nil when the labels decide.
    var classCount: Int? { get }
    func stream(_ split: DataSplit) throws(DataError) -> any RecordStream
}
