import ClusterProtocol
import FoundationEssentials

/// Control messages as JSON frames: version and kind first, then the body.
package enum ControlCodec {
    /// Longest control frame that is sent or taken in.
    package static let maximumByteCount = 1 << 20

    package static func encode(_ message: ControlMessage) -> [UInt8] {
        let head = "{\"version\":\(ControlMessage.version),\"kind\":\"\(message.kind)\",\"body\":"
        // Every body is a plain value; encoding one cannot fail.
        let body = try? encode(message.body)
        return Array(head.utf8) + (body ?? Array("{}".utf8)) + [UInt8(ascii: "}")]
    }

    private static func encode(_ body: some Encodable) throws -> [UInt8] {
        Array(try JSONEncoder().encode(body))
    }

    /// - Throws: whatever is wrong with the bytes; the caller drops them.
    package static func decode(_ bytes: [UInt8]) throws -> ControlMessage {
        guard bytes.count <= maximumByteCount else {
            throw ControlEnvelope.Foreign(version: 0, kind: "too large")
        }
        return try JSONDecoder().decode(ControlEnvelope.self, from: Data(bytes)).message
    }
}
