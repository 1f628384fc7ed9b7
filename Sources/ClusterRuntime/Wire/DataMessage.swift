import ClusterProtocol
import Partitions
import ZeroMQ

/// A data message as it was received: its header and, where it has one, its payload.
package struct DataMessage {
    /// The first frame, decoded.
    package var header: DataHeader
    /// The second frame: the bytes of an object, or the reason why it is not available.
    var payload: Frame?

    /// Reads a message that came over the network; returns nil when the frames are not a data
    /// message.
    package init?(_ frames: ArraySlice<Frame>) {
        guard let first = frames.first, frames.count <= 2 else { return nil }
        let header = try? first.withUnsafeBytes { (bytes) throws(DataHeader.Flaw) in
            try DataHeader(bytes: bytes)
        }
        guard let header else { return nil }
        self.header = header
        payload = frames.count == 2 ? frames.last : nil
        guard payload?.byteCount ?? 0 == header.payloadByteCount else { return nil }
    }

    /// Returns the frames of a message.
    static func frames(_ header: DataHeader, payload: [UInt8] = []) -> [Frame] {
        var header = header
        header.payloadByteCount = payload.count
        return [Frame(header.bytes)] + (payload.isEmpty ? [] : [Frame(payload)])
    }
}

extension DataObject {
    /// Creates the name of a partition as an object to ask for.
    init(_ reference: PartitionReference) {
        self.init(reference.split == .training ? .training : .test, reference.index)
    }

    /// The partition that the object is; nil for the catalog.
    var reference: PartitionReference? {
        switch kind {
        case .catalog, .frozen: nil
        case .training: PartitionReference(.training, index)
        case .test: PartitionReference(.test, index)
        }
    }
}
