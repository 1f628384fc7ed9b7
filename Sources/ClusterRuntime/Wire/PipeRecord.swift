import ClusterProtocol

/// A message that goes through a pipe: a bulk header, the place of its payload, and its sender.
///
/// | offset | field |
/// |---|---|
/// | 0 | the header |
/// | 72 | the place in shared memory |
/// | 128 | length of the identity, UInt64 |
/// | 136 | the identity, UTF-8, then zeros |
///
/// All records have the same length, which is below `PIPE_BUF`, so the system never interleaves the
/// records of several writers.
package struct PipeRecord: Sendable {
    /// The length of a record in bytes.
    package static let byteCount = identityOffset + PeerIdentity.maximumByteCount
    private static let lengthOffset = messageByteCount
    private static let identityOffset = lengthOffset + 8
    /// The length in bytes of the same message as two frames.
    package static let messageByteCount = BulkHeader.byteCount + SharedPayload.byteCount

    /// The header of the message.
    package var header: BulkHeader
    /// The place of the payload in shared memory.
    package var place: SharedPayload
    /// The identity of the sending process.
    package var sender: PeerIdentity

    /// Reads a record that another process wrote; returns nil when the bytes are not a record.
    /// Nothing in the bytes is taken on trust.
    ///
    /// - Parameter bytes: `byteCount` bytes.
    package init?(_ bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count == Self.byteCount, "a record of another length")
        let length = UInt64(
            littleEndian: bytes.loadUnaligned(fromByteOffset: Self.lengthOffset, as: UInt64.self))
        guard (1...UInt64(PeerIdentity.maximumByteCount)).contains(length),
            let header = try? BulkHeader(bytes: .init(rebasing: bytes[..<BulkHeader.byteCount])),
            header.payloadType.isShared, header.payloadByteCount == SharedPayload.byteCount,
            let place = SharedPayload(
                bytes: .init(rebasing: bytes[BulkHeader.byteCount..<Self.messageByteCount])),
            let name = String(
                validating: bytes[Self.identityOffset...].prefix(Int(length)), as: UTF8.self)
        else { return nil }
        self.header = header
        self.place = place
        sender = PeerIdentity(rawValue: name)
    }

    /// Returns the bytes of a record.
    package static func bytes(
        _ header: BulkHeader, _ place: SharedPayload, from sender: PeerIdentity
    ) -> [UInt8] {
        let name = Array(sender.rawValue.utf8.prefix(PeerIdentity.maximumByteCount))
        var bytes = header.bytes
        bytes.reserveCapacity(byteCount)
        bytes += place.bytes
        withUnsafeBytes(of: UInt64(name.count).littleEndian) { bytes += $0 }
        bytes += name
        bytes += repeatElement(0, count: PeerIdentity.maximumByteCount - name.count)
        return bytes
    }
}
