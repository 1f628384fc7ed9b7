/// The records of one split, wherever they are.
///
/// Threading: any number of threads may use a store at once.
protocol RecordStore: AnyObject, Sendable {
    var recordCount: Int { get }
    /// Whether some records are read from files when they are asked for.
    var isReadFromFiles: Bool { get }

    /// Writes the images of `records` as Float [count, C, H, W], and their labels [count] or
    /// targets [count, targetCount].
    func gather(
        _ records: UnsafeBufferPointer<UInt64>, images: UnsafeMutablePointer<Float>,
        labels: UnsafeMutablePointer<Int32>, targets: UnsafeMutablePointer<Float>?
    ) throws(DataError)

    /// Calls `body` with the position and the stored image of each record, in order, and writes
    /// labels [count] or targets [count, targetCount]. The image is valid during the call.
    func visit(
        _ records: UnsafeBufferPointer<UInt64>, labels: UnsafeMutablePointer<Int32>,
        targets: UnsafeMutablePointer<Float>?, _ body: (Int, UnsafeRawPointer) -> Void
    ) throws(DataError)

    /// Announces that these records will be read soon, so that a disk may begin. Nothing waits.
    func announce(_ records: UnsafeBufferPointer<UInt64>)

    /// Loads or checks a partition of the split. With `isAhead` it is not needed yet: nothing is
    /// dropped for it, and an error is left to whoever needs it.
    func open(partition: Int, isAhead: Bool) throws(DataError)

    /// Returns the stored bytes of the images, and the labels, of a range of records.
    func stored(_ range: Range<Int>) throws(DataError) -> (images: [UInt8], labels: [Int32])

    /// Returns the labels of a range of records.
    func labels(_ range: Range<Int>) throws(DataError) -> [Int32]

    /// Returns the targets of a range of records, [count, targetCount]; none for records with
    /// labels.
    func targets(_ range: Range<Int>) throws(DataError) -> [Float]
}

extension RecordStore {
    var isReadFromFiles: Bool { false }

    func announce(_ records: UnsafeBufferPointer<UInt64>) {}

    func open(partition: Int, isAhead: Bool) throws(DataError) {}

    func targets(_ range: Range<Int>) throws(DataError) -> [Float] { [] }
}

/// Writes value / 255 for each byte. True division gives the same 256 numbers on every machine.
func scalePixels(
    _ bytes: UnsafePointer<UInt8>, into floats: UnsafeMutablePointer<Float>, count: Int
) {
    for index in 0..<count { floats[index] = Float(bytes[index]) / 255 }
}
