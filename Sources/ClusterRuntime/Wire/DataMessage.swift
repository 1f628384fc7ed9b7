import ClusterProtocol
import Partitions
import ZeroMQ

/// A data message as received: its header and, where it has one, its payload.
package struct DataMessage {
    package var header: DataHeader
    var payload: Frame?

    /// Nil for frames that are no data message.
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

    static func frames(_ header: DataHeader, payload: [UInt8] = []) -> [Frame] {
        var header = header
        header.payloadByteCount = payload.count
        return [Frame(header.bytes)] + (payload.isEmpty ? [] : [Frame(payload)])
    }
}

extension DataObject {
    init(_ reference: PartitionReference) {
        self.init(reference.split == .training ? .training : .test, reference.index)
    }

    /// The partition, if it is one.
    var reference: PartitionReference? {
        switch kind {
        case .catalog: nil
        case .training: PartitionReference(.training, index)
        case .test: PartitionReference(.test, index)
        }
    }
}
