import CZeroMQ
import Glibc

/// A Curve25519 key pair as ZeroMQ writes it: each key is Z85 text of 40 characters (RFC 32).
///
/// `description`, `debugDescription` and `dump` do not show the secret key.
public struct CurveKeyPair: Sendable, Equatable {
    /// The key that peers may know, as Z85 text.
    public let publicKey: String
    /// The key that must stay secret, as Z85 text.
    public let secretKey: String

    /// The number of characters in one key.
    public static let keyCharacterCount = 40

    /// Creates a pair from existing keys.
    ///
    /// - Throws: `.malformed` when a key is not Z85 text of 40 characters, or when the public key
    ///   does not belong to the secret key.
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

    /// Returns whether a text can be a key: 40 characters of Z85.
    public static func isKey(_ text: String) -> Bool { Z85Key.decode(text) != nil }

    /// Returns a new pair made from the system's random numbers.
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

    /// Returns the public key that belongs to a secret key.
    ///
    /// - Throws: `.malformed` when the secret key is not Z85 text of 40 characters; `.notSupported`
    ///   when libzmq was built without CURVE.
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
    /// The public key and a note that the secret key is withheld.
    public var description: String { "CurveKeyPair(public \(publicKey), secret withheld)" }
    /// The same text as `description`.
    public var debugDescription: String { description }
    /// A mirror that shows only the public key.
    public var customMirror: Mirror { Mirror(self, children: ["publicKey": publicKey]) }
}

/// Conversions of a key between its two forms: Z85 text of 40 characters and 32 bytes.
enum Z85Key {
    static let byteCount = 32

    /// Returns the 32 bytes of a key; nil unless the text is exactly 40 characters of the Z85
    /// alphabet.
    static func decode(_ key: String) -> [UInt8]? {
        guard key.utf8.count == CurveKeyPair.keyCharacterCount,
            key.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
        else { return nil }
        var bytes = [UInt8](repeating: 0, count: byteCount)
        let decoded = bytes.withUnsafeMutableBufferPointer {
            zmq_z85_decode($0.baseAddress, key) != nil
        }
        // Not every group of five characters fits in four bytes. Encoding again detects those that
        // do not.
        guard decoded, encode(bytes) == key else { return nil }
        return bytes
    }

    /// Returns the text of a key of 32 bytes; nil for another number of bytes.
    static func encode(_ bytes: [UInt8]) -> String? {
        guard bytes.count == byteCount else { return nil }
        var characters = [CChar](repeating: 0, count: CurveKeyPair.keyCharacterCount + 1)
        guard zmq_z85_encode(&characters, bytes, bytes.count) != nil else { return nil }
        return text(characters)
    }

    /// Throws `.malformed` unless `key` is Z85 text of 40 characters; `name` names the key in the
    /// error.
    static func validate(_ key: String, _ name: String) throws(ZeroMQError) {
        guard decode(key) == nil else { return }
        // The error does not contain the key, which may be secret.
        throw ZeroMQError(
            code: .malformed,
            operation: "use the CURVE \(name) key, \(CurveKeyPair.keyCharacterCount) characters of"
                + " Z85 text are expected, \(key.utf8.count) bytes were given",
            endpoint: nil, number: 0)
    }

    /// Returns the text of a null-terminated C string.
    static func text(_ characters: [CChar]) -> String {
        String(decoding: characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
