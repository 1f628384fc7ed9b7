/// The records of one split, wherever they are.
///
/// Threading: any number of threads may use a store at once.
protocol RecordStore: AnyObject, Sendable {
    var recordCount: Int { get }

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

    /// Returns the stored bytes of the images, and the labels, of a range of records.
    func stored(_ range: Range<Int>) throws(DataError) -> (images: [UInt8], labels: [Int32])

    /// Returns the labels of a range of records.
    func labels(_ range: Range<Int>) throws(DataError) -> [Int32]

    /// Returns the targets of a range of records, [count, targetCount]; none for records with
    /// labels.
    func targets(_ range: Range<Int>) throws(DataError) -> [Float]
}

extension RecordStore {
    func targets(_ range: Range<Int>) throws(DataError) -> [Float] { [] }
}

/// A split in memory, with its images as bytes.
public final class MemoryStore: RecordStore {
    private let images: [UInt8]
    private let labels: [Int32]
    private let elementCount: Int

    /// Creates a store of the given records.
    ///
    /// - Parameters:
    ///   - images: the images one after another, [count, C, H, W].
    ///   - labels: the labels, [count].
    ///   - elementCount: the number of bytes in one image, C · H · W.
    public init(images: [UInt8], labels: [Int32], elementCount: Int) {
        self.images = images
        self.labels = labels
        self.elementCount = elementCount
    }

    var recordCount: Int { labels.count }

    /// Writes the images of `records` as Float, value / 255, and their labels.
    ///
    /// - Parameters:
    ///   - records: record numbers within the split; a number outside it is a programming error.
    ///   - destination: receives the images, [count, C, H, W].
    ///   - destinationLabels: receives the labels, [count].
    ///   - targets: receives nothing: these records have labels.
    public func gather(
        _ records: UnsafeBufferPointer<UInt64>, images destination: UnsafeMutablePointer<Float>,
        labels destinationLabels: UnsafeMutablePointer<Int32>,
        targets: UnsafeMutablePointer<Float>? = nil
    ) {
        images.withUnsafeBufferPointer { bytes in
            for (position, record) in records.enumerated() {
                let record = Int(record)
                scalePixels(
                    bytes.baseAddress! + record * elementCount,
                    into: destination + position * elementCount, count: elementCount)
                destinationLabels[position] = labels[record]
            }
        }
    }

    func visit(
        _ records: UnsafeBufferPointer<UInt64>, labels destinationLabels: UnsafeMutablePointer<Int32>,
        targets: UnsafeMutablePointer<Float>?, _ body: (Int, UnsafeRawPointer) -> Void
    ) {
        images.withUnsafeBufferPointer { bytes in
            for (position, record) in records.enumerated() {
                destinationLabels[position] = labels[Int(record)]
                body(position, UnsafeRawPointer(bytes.baseAddress! + Int(record) * elementCount))
            }
        }
    }

    func stored(_ range: Range<Int>) -> (images: [UInt8], labels: [Int32]) {
        let bytes = range.lowerBound * elementCount..<range.upperBound * elementCount
        return (Array(images[bytes]), Array(labels[range]))
    }

    func labels(_ range: Range<Int>) -> [Int32] { Array(labels[range]) }
}

/// Writes value / 255 for each byte. True division gives the same 256 numbers on every machine.
func scalePixels(
    _ bytes: UnsafePointer<UInt8>, into floats: UnsafeMutablePointer<Float>, count: Int
) {
    for index in 0..<count { floats[index] = Float(bytes[index]) / 255 }
}
