import CCrypto

/// SHA-256 by OpenSSL's libcrypto, with the processor's instructions where it has some.
public struct SHA256 {
    /// A state of libcrypto; it goes with its last reference.
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

    public static let byteCount = 32

    private var state = State()

    public init() {}

    /// Takes bytes in, behind those before.
    public mutating func update(bufferPointer bytes: UnsafeRawBufferPointer) {
        // Copies of a value go on by themselves.
        if !isKnownUniquelyReferenced(&state) { state = State(copying: state) }
        guard EVP_DigestUpdate(state.pointer, bytes.baseAddress, bytes.count) == 1 else {
            fatalError("libcrypto cannot go on with SHA-256")
        }
    }

    /// Takes bytes in, behind those before.
    public mutating func update(data: some Sequence<UInt8>) {
        let isDone: Void? = data.withContiguousStorageIfAvailable {
            update(bufferPointer: UnsafeRawBufferPointer($0))
        }
        guard isDone == nil else { return }
        Array(data).withUnsafeBytes { update(bufferPointer: $0) }
    }

    /// The 32 bytes of the sum of all bytes so far; more may follow.
    public func finalize() -> [UInt8] {
        let end = State(copying: state)
        var digest = [UInt8](repeating: 0, count: Self.byteCount)
        guard EVP_DigestFinal_ex(end.pointer, &digest, nil) == 1 else {
            fatalError("libcrypto cannot end SHA-256")
        }
        return digest
    }

    /// The sum of some bytes.
    public static func hash(data: some Sequence<UInt8>) -> [UInt8] {
        var hash = SHA256()
        hash.update(data: data)
        return hash.finalize()
    }

    /// The sum of some bytes, in hexadecimal.
    public static func hexadecimal(of bytes: UnsafeRawBufferPointer) -> String {
        var hash = SHA256()
        hash.update(bufferPointer: bytes)
        return Checksums.hexadecimal(hash.finalize())
    }
}

/// Two digits a byte, in lower case.
public func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    for byte in bytes {
        text.append(digits[Int(byte >> 4)])
        text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
}
