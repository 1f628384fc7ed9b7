import Checksums
import Testing

@Suite struct SHA256Tests {
    /// The examples of NIST's FIPS 180-4 documents, and a million times "a".
    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
        (
            String(repeating: "a", count: 1_000_000),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        ),
    ])
    func knownSums(text: String, sum: String) {
        #expect(hexadecimal(SHA256.hash(data: Array(text.utf8))) == sum)
        // The input in no single piece of memory, and in parts of all lengths.
        #expect(hexadecimal(SHA256.hash(data: text.utf8.lazy.map { $0 })) == sum)
        var hash = SHA256()
        var (rest, length) = (Array(text.utf8)[...], 1)
        while !rest.isEmpty {
            hash.update(data: rest.prefix(length))
            rest = rest.dropFirst(length)
            length = length * 2 + 1
        }
        #expect(hexadecimal(hash.finalize()) == sum)
    }

    @Test func copiesGoOnByThemselves() {
        var first = SHA256()
        first.update(data: Array("ab".utf8))
        var second = first
        first.update(data: Array("c".utf8))
        second.update(data: Array("x".utf8))
        #expect(first.finalize() == SHA256.hash(data: Array("abc".utf8)))
        #expect(second.finalize() == SHA256.hash(data: Array("abx".utf8)))
        // A hash can be extended after `finalize`.
        first.update(data: [])
        #expect(first.finalize() == SHA256.hash(data: Array("abc".utf8)))
    }

    @Test func digitsAreLowerCase() {
        #expect(hexadecimal([0, 0x0F, 0xA0, 0xFF]) == "000fa0ff")
        #expect(hexadecimal([]) == "")
    }
}
