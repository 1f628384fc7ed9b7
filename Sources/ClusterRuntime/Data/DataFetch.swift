import ClusterProtocol
import Partitions

/// An object to fetch, and the closures that take its bytes.
///
/// Threading: used on the data client's thread only.
final class DataFetch {
    /// The object to fetch.
    let object: DataObject
    private let append: ([UInt8], _ totalByteCount: Int) throws(DataError) -> Void
    private let end: (DataError?) -> Void

    /// Creates a fetch.
    ///
    /// - Parameters:
    ///   - append: takes the object's bytes in order. An error that it throws ends the fetch.
    ///   - end: called once, with the error, or with nil when the object is complete.
    init(
        _ object: DataObject,
        append: @escaping ([UInt8], _ totalByteCount: Int) throws(DataError) -> Void,
        end: @escaping (DataError?) -> Void
    ) {
        self.object = object
        self.append = append
        self.end = end
    }

    /// Passes on the next bytes of an object of `totalByteCount` bytes.
    func append(_ bytes: [UInt8], of totalByteCount: Int) throws(DataError) {
        try append(bytes, totalByteCount)
    }

    /// Ends the fetch; nil means that the object is complete.
    func finish(_ error: DataError? = nil) { end(error) }
}
