import ClusterProtocol
import Partitions

/// An object to fetch, and where its bytes go; used on the data client's thread alone.
final class DataFetch {
    let object: DataObject
    private let append: ([UInt8], _ totalByteCount: Int) throws(DataError) -> Void
    private let end: (DataError?) -> Void

    /// - Parameters:
    ///   - append: gets the bytes in order; what it throws ends the fetch.
    ///   - end: called once, with what went wrong.
    init(
        _ object: DataObject,
        append: @escaping ([UInt8], _ totalByteCount: Int) throws(DataError) -> Void,
        end: @escaping (DataError?) -> Void
    ) {
        self.object = object
        self.append = append
        self.end = end
    }

    func append(_ bytes: [UInt8], of totalByteCount: Int) throws(DataError) {
        try append(bytes, totalByteCount)
    }

    func finish(_ error: DataError? = nil) { end(error) }
}
