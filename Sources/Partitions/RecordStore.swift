/// The records of one split, wherever they are.
///
/// Threading: any number of threads at once.
protocol RecordStore: AnyObject, Sendable {
    var recordCount: Int { get }

    /// Writes the images as Float and the labels of `records`, one after the other.
    func gather(
        _ records: UnsafeBufferPointer<UInt64>, images: UnsafeMutablePointer<Float>,
        labels: UnsafeMutablePointer<Int32>
    ) throws(DataError)

    /// Images as they are stored, and labels, of a range.
    func stored(_ range: Range<Int>) throws(DataError) -> (images: [UInt8], labels: [Int32])

    /// Labels of a range.
    func labels(_ range: Range<Int>) throws(DataError) -> [Int32]
}

/// A split in memory, images as bytes.
public final class MemoryStore: RecordStore {
    private let images: [UInt8]
    private let labels: [Int32]
    private let elementCount: Int

    /// - Parameter elementCount: bytes of one image.
    public init(images: [UInt8], labels: [Int32], elementCount: Int) {
        self.images = images
        self.labels = labels
        self.elementCount = elementCount
    }

    var recordCount: Int { labels.count }

    public func gather(
        _ records: UnsafeBufferPointer<UInt64>, images destination: UnsafeMutablePointer<Float>,
        labels destinationLabels: UnsafeMutablePointer<Int32>
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

    func stored(_ range: Range<Int>) -> (images: [UInt8], labels: [Int32]) {
        let bytes = range.lowerBound * elementCount..<range.upperBound * elementCount
        return (Array(images[bytes]), Array(labels[range]))
    }

    func labels(_ range: Range<Int>) -> [Int32] { Array(labels[range]) }
}

/// value / 255 by true division, so that every machine gets the same 256 numbers.
func scalePixels(
    _ bytes: UnsafePointer<UInt8>, into floats: UnsafeMutablePointer<Float>, count: Int
) {
    for index in 0..<count { floats[index] = Float(bytes[index]) / 255 }
}
