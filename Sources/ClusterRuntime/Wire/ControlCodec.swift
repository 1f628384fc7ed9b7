import ClusterProtocol
import FoundationEssentials

/// Encodes and decodes control messages as JSON frames: first version and kind, then the body.
package enum ControlCodec {
    /// The size in bytes of the longest control frame that is sent or accepted: 1 MiB.
    package static let maximumByteCount = 1 << 20

    /// Returns the frame of a message.
    package static func encode(_ message: ControlMessage) -> [UInt8] {
        let head = "{\"version\":\(ControlMessage.version),\"kind\":\"\(message.kind)\",\"body\":"
        // Every body is a plain value; encoding one cannot fail.
        let body = try? encode(message.body)
        return Array(head.utf8) + (body ?? Array("{}".utf8)) + [UInt8(ascii: "}")]
    }

    /// Returns the JSON of a body. Its keys are sorted, so that a message is the same frame in every
    /// process.
    private static func encode(_ body: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        return Array(try encoder.encode(body))
    }

    /// Reads a message that came over the network.
    ///
    /// - Throws: `ControlEnvelope.Foreign` for a message of another version or an unknown kind and
    ///   for a frame that is too long, and a decoding error for malformed bytes. Callers drop such
    ///   a message.
    package static func decode(_ bytes: [UInt8]) throws -> ControlMessage {
        guard bytes.count <= maximumByteCount else {
            throw ControlEnvelope.Foreign(version: 0, kind: "too large")
        }
        return try JSONDecoder().decode(ControlEnvelope.self, from: Data(bytes)).message
    }
}
