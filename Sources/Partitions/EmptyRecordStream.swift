/// A split without records: a sample, or one client's share, may have none to test with.
final class EmptyRecordStream: RecordStream {
    let shape: [Int]
    let recordCount = 0
    let segments: [SourceSegment]

    /// - Parameters:
    ///   - shape: of the other split's images.
    ///   - place: where its records would be, for errors.
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
