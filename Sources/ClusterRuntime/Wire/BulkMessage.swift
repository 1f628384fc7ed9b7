import Buffers
import ClusterProtocol
import ZeroMQ

/// A bulk message as it was received: its header and, where it has one, its payload.
package struct BulkMessage {
    /// The first frame, decoded.
    package var header: BulkHeader
    /// The payload of a message that carries its elements; nil otherwise.
    var payload: Frame?
    /// The place of the payload in shared memory, when the message does not carry it.
    var sharedPayload: SharedPayload?

    /// The sender's description of itself, in a subscription.
    package var neighbour: Neighbour?

    /// The reason why frames are not a bulk message.
    package enum Flaw: Error {
        /// The message has this number of frames instead of one or two.
        case frameCount(Int)
        /// The first frame is not a bulk header.
        case header(BulkHeader.Flaw)
        /// The payload's length in bytes is not the one that the header gives, does not fit the
        /// payload's type, or is not a multiple of the type's unit.
        case payload(expected: Int, found: Int)
    }

    /// Creates the message that a record from a pipe stands for.
    package init(_ record: PipeRecord) {
        header = record.header
        sharedPayload = record.place
    }

    /// Reads a message that came over the network.
    ///
    /// - Throws: the first `Flaw` found; nothing in the frames is taken on trust.
    package init(_ frames: ArraySlice<Frame>) throws(Flaw) {
        guard let first = frames.first, frames.count <= 2 else { throw .frameCount(frames.count) }
        do throws(BulkHeader.Flaw) {
            header = try first.withUnsafeBytes { (bytes) throws(BulkHeader.Flaw) in
                try BulkHeader(bytes: bytes)
            }
        } catch {
            throw .header(error)
        }
        payload = frames.count == 2 ? frames.last : nil
        let found = payload?.byteCount ?? 0
        guard found == header.payloadByteCount, (found == 0) == (header.payloadType == .none),
            found.isMultiple(of: header.payloadType.unitByteCount)
        else {
            throw .payload(expected: header.payloadByteCount, found: found)
        }
        if header.payloadType.isShared {
            sharedPayload = payload?.withUnsafeBytes { SharedPayload(bytes: $0) }
            payload = nil
        } else if header.payloadType == .neighbour {
            neighbour = payload?.withUnsafeBytes { Neighbour(bytes: $0) }
            payload = nil
        }
    }

    /// Returns the frames of a message with a payload. libzmq reads the payload in place, and its
    /// owner is kept until libzmq has sent it.
    static func frames(
        _ header: BulkHeader, payload: UnsafeRawBufferPointer, _ precision: WirePrecision,
        owner: FloatBuffer
    ) -> [Frame] {
        var header = header
        header.payloadType = precision.payloadType
        header.payloadByteCount = payload.count
        return [Frame(header.bytes), Frame(lending: payload, owner: owner)]
    }

    /// Returns the frames of a message whose payload is a received frame, or lies in a buffer.
    static func frames(
        _ header: BulkHeader, payload: Payload, _ precision: WirePrecision
    ) -> [Frame] {
        switch payload {
        case .frame(let frame):
            var header = header
            header.payloadType = precision.payloadType
            header.payloadByteCount = frame.byteCount
            return [Frame(header.bytes), frame]
        case .buffer(let buffer, let byteCount):
            let bytes = UnsafeRawBufferPointer(start: buffer.pointer, count: byteCount)
            return frames(header, payload: bytes, precision, owner: buffer)
        }
    }

    /// Returns the frames of a message whose payload lies in shared memory: the header and the
    /// place.
    static func frames(
        _ header: BulkHeader, shared: SharedPayload, _ precision: WirePrecision
    ) -> [Frame] {
        [Frame(Self.header(header, sharedIn: precision).bytes), Frame(shared.bytes)]
    }

    /// Returns the header of a message whose payload lies in shared memory.
    static func header(_ header: BulkHeader, sharedIn precision: WirePrecision) -> BulkHeader {
        var header = header
        header.payloadType = precision.sharedPayloadType
        header.payloadByteCount = SharedPayload.byteCount
        return header
    }

    /// Returns the frames of a message without a payload, or with a description of its sender.
    static func frames(_ header: BulkHeader, from neighbour: Neighbour? = nil) -> [Frame] {
        guard let neighbour else { return [Frame(header.bytes)] }
        var header = header
        header.payloadType = .neighbour
        header.payloadByteCount = Neighbour.byteCount
        return [Frame(header.bytes), Frame(neighbour.bytes)]
    }

    /// Returns the frames of a message whose payload is a list of doubles, encoded already.
    static func frames(_ header: BulkHeader, doubles: [UInt8]) -> [Frame] {
        var header = header
        header.payloadType = .float64
        header.payloadByteCount = doubles.count
        return [Frame(header.bytes), Frame(doubles)]
    }

    /// Returns the frames of a message whose payload is a list of indices, each a UInt32.
    static func frames(_ header: BulkHeader, indices: [Int]) -> [Frame] {
        var header = header
        header.payloadType = .indices
        header.payloadByteCount = indices.count * 4
        let bytes = indices.flatMap { index in
            (0..<4).map { UInt8(truncatingIfNeeded: index >> ($0 * 8)) }
        }
        return [Frame(header.bytes), Frame(bytes)]
    }

    /// Returns what is wrong with a payload that should have `elementCount` elements, in the
    /// message or in shared memory; nil when nothing is wrong.
    package func flaw(expecting precision: WirePrecision, elementCount: Int) -> String? {
        let type = header.payloadType
        guard type == precision.payloadType || type == precision.sharedPayloadType else {
            return "\(header.kind) of payload type \(type), expected \(precision.payloadType)"
        }
        let expected = precision.byteCount(elementCount: elementCount)
        guard type.isShared || header.payloadByteCount == expected else {
            return "\(header.kind) of a wrong size: \(header.payloadByteCount) bytes, expected "
                + "\(expected)"
        }
        return nil
    }

    /// The payload as indices; empty when the payload is of another type.
    package var indices: [Int] {
        guard header.payloadType == .indices, let bytes = payload?.bytes else { return [] }
        return stride(from: 0, to: bytes.count - 3, by: 4).map { start in
            (0..<4).reduce(0) { $0 | Int(bytes[start + $1]) << ($1 * 8) }
        }
    }
}

extension Frame {
    /// The identity of the peer, when this is the frame that a ROUTER put before a message; nil
    /// when the frame cannot be an identity.
    var peerIdentity: PeerIdentity? {
        guard let text, (1...PeerIdentity.maximumByteCount).contains(text.utf8.count) else {
            return nil
        }
        return PeerIdentity(rawValue: text)
    }
}
