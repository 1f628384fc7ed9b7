import CCrypto

/// SHA-256, computed by OpenSSL's libcrypto, which uses the processor's SHA instructions where
/// there are some.
///
/// The value can be copied at any point; each copy continues independently.
public struct SHA256 {
    /// A digest context of libcrypto. It is freed with its last reference.
    private final class State {
        let pointer: OpaquePointer

        init() {
            guard let pointer = EVP_MD_CTX_new(), EVP_DigestInit_ex(pointer, EVP_sha256(), nil) == 1
            else { fatalError("libcrypto cannot begin SHA-256: out of memory, or built without it") }
            self.pointer = pointer
        }

        init(copying other: State) {
            guard let pointer = EVP_MD_CTX_new(), EVP_MD_CTX_copy_ex(pointer, other.pointer) == 1
            else { fatalError("libcrypto cannot copy a state of SHA-256: out of memory") }
            self.pointer = pointer
        }

        deinit { EVP_MD_CTX_free(pointer) }
    }

    /// The length of a digest in bytes.
    public static let byteCount = 32

    private var state = State()

    /// Creates the hash of no bytes.
    public init() {}

    /// Appends bytes to the bytes hashed so far.
    public mutating func update(bufferPointer bytes: UnsafeRawBufferPointer) {
        // A copy of a value continues independently, so a shared state is copied before it changes.
        if !isKnownUniquelyReferenced(&state) { state = State(copying: state) }
        guard EVP_DigestUpdate(state.pointer, bytes.baseAddress, bytes.count) == 1 else {
            fatalError("libcrypto cannot go on with SHA-256")
        }
    }

    /// Appends bytes to the bytes hashed so far.
    public mutating func update(data: some Sequence<UInt8>) {
        let isDone: Void? = data.withContiguousStorageIfAvailable {
            update(bufferPointer: UnsafeRawBufferPointer($0))
        }
        guard isDone == nil else { return }
        Array(data).withUnsafeBytes { update(bufferPointer: $0) }
    }

    /// Returns the 32 bytes of the digest of all bytes so far. More bytes may be appended
    /// afterwards.
    public func finalize() -> [UInt8] {
        let end = State(copying: state)
        var digest = [UInt8](repeating: 0, count: Self.byteCount)
        guard EVP_DigestFinal_ex(end.pointer, &digest, nil) == 1 else {
            fatalError("libcrypto cannot end SHA-256")
        }
        return digest
    }

    /// Returns the digest of the bytes.
    public static func hash(data: some Sequence<UInt8>) -> [UInt8] {
        var hash = SHA256()
        hash.update(data: data)
        return hash.finalize()
    }

    /// Returns the digest of the bytes in hexadecimal digits.
    public static func hexadecimal(of bytes: UnsafeRawBufferPointer) -> String {
        var hash = SHA256()
        hash.update(bufferPointer: bytes)
        return Checksums.hexadecimal(hash.finalize())
    }
}

/// Returns the bytes in hexadecimal, two lower-case digits a byte.
public func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    for byte in bytes {
        text.append(digits[Int(byte >> 4)])
        text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
}
