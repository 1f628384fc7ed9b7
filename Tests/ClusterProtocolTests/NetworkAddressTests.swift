import ClusterProtocol
import CounterRandom
import Glibc
import TestSupport
import Testing

@Suite struct NetworkAddressTests {
    /// The address as the C library reads it; nil for text that the library refuses.
    private func twin(_ text: String) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &bytes) == 1 { return Array(bytes[..<4]) }
        return inet_pton(AF_INET6, text, &bytes) == 1 ? bytes : nil
    }

    /// The bytes of an address; those of the IPv4 address when it is an IPv4-mapped one.
    private func plain(_ bytes: [UInt8]?) -> [UInt8]? {
        bytes.flatMap { NetworkAddress(bytes: $0)?.bytes }
    }

    @Test func readsWhatTheSystemReads() {
        let texts = [
            "127.0.0.1", "0.0.0.0", "255.255.255.255", "256.0.0.1", "1.2.3", "1.2.3.4.5", "01.2.3.4",
            "1..2.3", "", ":", "::", "::1", "1::", ":1", "1:", ":::", "1::2::3", "fe80::1%eth0",
            "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7::8", "::ffff:10.1.2.3", "::10.1.2.3", "1:2:3:4:5:6:1.2.3.4",
            "1:2:3:4:5:6:7:1.2.3.4", "12345::", "g::", "::1.2.3", "A:b::C", " ::1", "::1 ", "1.2.3.4:5",
        ]
        for text in texts { #expect(NetworkAddress(text)?.bytes == plain(twin(text)), "\(text)") }
    }

    @Test func randomTextsAndAddresses() {
        var random = RandomStream(seed: TestSeed.base, purpose: .simulation)
        let alphabet = Array("0123456789abf:::..")
        for _ in 0..<50_000 {
            let count = Int(random.next32() % 20)
            let text = String((0..<count).map { _ in alphabet[Int(random.next32()) % alphabet.count] })
            #expect(NetworkAddress(text)?.bytes == plain(twin(text)), "\(text)")
            let isLong = random.next32() & 1 == 0
            let bytes = (0..<(isLong ? 16 : 4)).map { _ in
                random.next32() % 3 == 0 ? UInt8(0) : UInt8(truncatingIfNeeded: random.next32())
            }
            let address = NetworkAddress(bytes: bytes)!
            #expect(NetworkAddress("\(address)") == address)
            #expect(plain(twin("\(address)")) == address.bytes, "\(address)")
        }
    }

    @Test func kinds() throws {
        func address(_ text: String) throws -> NetworkAddress {
            try #require(NetworkAddress(text), "\(text)")
        }
        for text in ["127.0.0.1", "127.0.1.1", "127.255.0.3", "::1", "::ffff:127.0.0.1"] {
            #expect(try address(text).isLoopback, "\(text)")
        }
        for text in ["128.0.0.1", "10.0.0.1", "::", "::2", "fd00::1"] {
            #expect(try !address(text).isLoopback, "\(text)")
        }
        #expect(try address("::").isWildcard && address("0.0.0.0").isWildcard)
        #expect(try !address("::1").isWildcard)
        #expect(try address("fe80::1").isLinkLocal && address("169.254.3.4").isLinkLocal)
        #expect(try address("fd00:0:0:1:0:0:0:1").description == "fd00:0:0:1::1")
        #expect(try address("1:0:0:2:0:0:0:3").description == "1:0:0:2::3")
    }

    @Test func ranges() throws {
        let range = try #require(NetworkRange("10.1.128.0/17"))
        #expect(range.contains(NetworkAddress("10.1.200.7")!))
        #expect(!range.contains(NetworkAddress("10.1.127.7")!))
        #expect(!range.contains(NetworkAddress("::1")!))
        #expect(try #require(NetworkRange("::/0")).contains(NetworkAddress("fd00::1")!))
        #expect(try #require(NetworkRange("fd00::/8")).contains(NetworkAddress("fdff::1")!))
        #expect(NetworkRange("10.1.2.3/32")!.contains(NetworkAddress("10.1.2.3")!))
        for text in ["10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0", "x/8", "10.0.0.0/", "::/129"] {
            #expect(NetworkRange(text) == nil, "\(text)")
        }
    }
}
