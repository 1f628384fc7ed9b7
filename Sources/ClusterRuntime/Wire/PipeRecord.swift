import ClusterProtocol

/// What goes through a pipe: a bulk header, where its payload lies, and who sent it.
///
/// | bytes | what |
/// |---|---|
/// | 0 | the header |
/// | 64 | the place in shared memory |
/// | 104 | length of the identity, UInt64 |
/// | 112 | the identity, UTF-8, then zeros |
///
/// All are of one length below `PIPE_BUF`, so that the system never mixes those of several writers.
package struct PipeRecord: Sendable {
    package static let byteCount = identityOffset + PeerIdentity.maximumByteCount
    private static let lengthOffset = messageByteCount
    private static let identityOffset = lengthOffset + 8
    /// What the same message would be in frames.
    package static let messageByteCount = BulkHeader.byteCount + SharedPayload.byteCount

    package var header: BulkHeader
    package var place: SharedPayload
    package var sender: PeerIdentity

    /// Foreign bytes are refused, never trusted.
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
