import CZeroMQ
import Glibc

/// A Curve25519 key pair as ZeroMQ writes it: Z85 text, 40 characters a key (RFC 32).
///
/// The secret key is kept out of `description`, `debugDescription` and `dump`.
public struct CurveKeyPair: Sendable, Equatable {
    public let publicKey: String
    public let secretKey: String

    /// Characters of one key.
    public static let keyCharacterCount = 40

    /// Takes an existing pair.
    ///
    /// - Throws: `.malformed` when a key is not Z85 text of 40 characters or the public key is not
    ///   the secret key's.
    public init(publicKey: String, secretKey: String) throws(ZeroMQError) {
        try Z85Key.validate(publicKey, "public")
        let derived = try CurveKeyPair.publicKey(ofSecret: secretKey)
        guard derived == publicKey else {
            throw ZeroMQError(
                code: .malformed,
                operation: "use a CURVE key pair, the secret key's public key is \(derived),"
                    + " the one given is \(publicKey)",
                endpoint: nil, number: 0)
        }
        self.publicKey = publicKey
        self.secretKey = secretKey
    }

    private init(trustedPublicKey: String, secretKey: String) {
        publicKey = trustedPublicKey
        self.secretKey = secretKey
    }

    /// Whether a text can be a key.
    public static func isKey(_ text: String) -> Bool { Z85Key.decode(text) != nil }

    /// A new pair from the system's random numbers.
    ///
    /// - Throws: `.notSupported` when libzmq was built without CURVE.
    public static func generate() throws(ZeroMQError) -> CurveKeyPair {
        var publicKey = [CChar](repeating: 0, count: keyCharacterCount + 1)
        var secretKey = publicKey
        try LibraryCall.perform("generate a CURVE key pair") {
            zmq_curve_keypair(&publicKey, &secretKey)
        }
        return CurveKeyPair(
            trustedPublicKey: Z85Key.text(publicKey), secretKey: Z85Key.text(secretKey))
    }

    /// The public key that belongs to a secret key.
    public static func publicKey(ofSecret secretKey: String) throws(ZeroMQError) -> String {
        try Z85Key.validate(secretKey, "secret")
        var publicKey = [CChar](repeating: 0, count: keyCharacterCount + 1)
        try LibraryCall.perform("derive a CURVE public key") {
            zmq_curve_public(&publicKey, secretKey)
        }
        return Z85Key.text(publicKey)
    }
}

extension CurveKeyPair: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "CurveKeyPair(public \(publicKey), secret withheld)" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: ["publicKey": publicKey]) }
}

/// Keys in their two forms: Z85 text of 40 characters and 32 bytes.
enum Z85Key {
    static let byteCount = 32

    /// The 32 bytes of a key; nil unless it is exactly 40 characters of the Z85 alphabet.
    static func decode(_ key: String) -> [UInt8]? {
        guard key.utf8.count == CurveKeyPair.keyCharacterCount,
            key.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
        else { return nil }
        var bytes = [UInt8](repeating: 0, count: byteCount)
        let decoded = bytes.withUnsafeMutableBufferPointer {
            zmq_z85_decode($0.baseAddress, key) != nil
        }
        // Not every value of five characters fits in four bytes: encode again to be sure.
        guard decoded, encode(bytes) == key else { return nil }
        return bytes
    }

    /// The text of a key of 32 bytes; nil for another count.
    static func encode(_ bytes: [UInt8]) -> String? {
        guard bytes.count == byteCount else { return nil }
        var characters = [CChar](repeating: 0, count: CurveKeyPair.keyCharacterCount + 1)
        guard zmq_z85_encode(&characters, bytes, bytes.count) != nil else { return nil }
        return text(characters)
    }

    static func validate(_ key: String, _ name: String) throws(ZeroMQError) {
        guard decode(key) == nil else { return }
        // The key itself stays out of the text: it may be a secret.
        throw ZeroMQError(
            code: .malformed,
            operation: "use the CURVE \(name) key, \(CurveKeyPair.keyCharacterCount) characters of"
                + " Z85 text are expected, \(key.utf8.count) bytes were given",
            endpoint: nil, number: 0)
    }

    static func text(_ characters: [CChar]) -> String {
        String(decoding: characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
