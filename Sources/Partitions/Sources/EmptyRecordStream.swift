/// A split without records. A sample of a data set, or one client's share of it, may have no test
/// records.
final class EmptyRecordStream: RecordStream {
    let shape: [Int]
    let recordCount = 0
    let segments: [SourceSegment]

    /// Creates an empty split.
    ///
    /// - Parameters:
    ///   - shape: the shape [C, H, W] of the other split's images.
    ///   - place: the directory where the records would be, for errors.
    init(shape: [Int], place: String) {
        self.shape = shape
        segments = [SourceSegment(file: place, labelFile: place, recordCount: 0)]
    }

    func read(
        count: Int, images: UnsafeMutableRawPointer, labels: UnsafeMutablePointer<Int32>
    ) throws(DataError) {
        precondition(count == 0, "expected no record to be read, found \(count)")
    }

    func finish() throws(DataError) {}
}
