/// An IPv4 or IPv6 address. An IPv4-mapped IPv6 address (`::ffff:10.0.0.1`) is stored as the IPv4
/// address.
public struct NetworkAddress: Hashable, Sendable, CustomStringConvertible {
    /// The address's 4 or 16 bytes, the most significant first.
    public let bytes: [UInt8]

    /// Creates an address from its 4 or 16 bytes, the most significant first; returns nil for any other
    /// count.
    public init?(bytes: [UInt8]) {
        guard bytes.count == 4 || bytes.count == 16 else { return nil }
        let isMapped =
            bytes.count == 16 && bytes[..<10].allSatisfy { $0 == 0 }
            && bytes[10...11].allSatisfy { $0 == 0xFF }
        self.bytes = isMapped ? Array(bytes[12...]) : bytes
    }

    /// Creates an address from its text form, without brackets; returns nil for other text, including
    /// host names and addresses with a zone.
    public init?(_ text: some StringProtocol) {
        guard let bytes = Self.version4(text) ?? Self.version6(text) else { return nil }
        self.init(bytes: bytes)
    }

    /// Whether this is an IPv6 address; otherwise it is an IPv4 address.
    public var isIPv6: Bool { bytes.count == 16 }

    /// Whether only this host can reach the address: 127.0.0.0/8 and ::1.
    public var isLoopback: Bool {
        isIPv6 ? bytes.dropLast().allSatisfy { $0 == 0 } && bytes[15] == 1 : bytes[0] == 127
    }

    /// Whether the address stands for every address of a host: 0.0.0.0 and ::.
    public var isWildcard: Bool { bytes.allSatisfy { $0 == 0 } }

    /// Whether the address is valid on one network link only: 169.254.0.0/16 and fe80::/10.
    public var isLinkLocal: Bool {
        isIPv6 ? bytes[0] == 0xFE && bytes[1] & 0xC0 == 0x80 : bytes[0] == 169 && bytes[1] == 254
    }

    /// The text form; IPv6 addresses are written as in RFC 5952.
    public var description: String {
        guard isIPv6 else { return bytes.map { "\($0)" }.joined(separator: ".") }
        let groups = stride(from: 0, to: 16, by: 2).map { Int(bytes[$0]) << 8 | Int(bytes[$0 + 1]) }
        func text(_ groups: ArraySlice<Int>) -> String {
            groups.map { String($0, radix: 16) }.joined(separator: ":")
        }
        let zeros = Self.longestRunOfZeros(groups)
        guard zeros.count > 1 else { return text(groups[...]) }
        return text(groups[..<zeros.lowerBound]) + "::" + text(groups[zeros.upperBound...])
    }

    /// Returns the positions of the longest run of zero groups, the first of equally long ones.
    private static func longestRunOfZeros(_ groups: [Int]) -> Range<Int> {
        var longest = 0..<0
        var start = 0
        for (index, group) in groups.enumerated() {
            if group != 0 { start = index + 1 }
            if index + 1 - start > longest.count { longest = start..<(index + 1) }
        }
        return longest
    }

    /// Reads dotted decimal text; returns nil for leading zeros and for fewer than four numbers.
    private static func version4(_ text: some StringProtocol) -> [UInt8]? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var bytes: [UInt8] = []
        for part in parts {
            guard (1...3).contains(part.utf8.count), part.utf8.allSatisfy({ (48...57).contains($0) }),
                part.utf8.count == 1 || part.utf8.first != 48, let byte = UInt8(part)
            else { return nil }
            bytes.append(byte)
        }
        return bytes
    }

    /// Reads the text forms of RFC 4291, section 2.2.
    private static func version6(_ text: some StringProtocol) -> [UInt8]? {
        guard text.utf8.count <= 45, text.utf8.contains(UInt8(ascii: ":")) else { return nil }
        var halves: [[UInt8]] = [[]]
        var rest = Substring(text)
        if rest.hasPrefix("::") {
            rest = rest.dropFirst(2)
            halves.append([])
        } else if rest.hasPrefix(":") {
            return nil
        }
        while !rest.isEmpty {
            let end = rest.firstIndex(of: ":") ?? rest.endIndex
            let group = rest[..<end]
            rest = rest[end...]
            if rest.isEmpty, let last = version4(group) {
                halves[halves.count - 1] += last
                break
            }
            guard (1...4).contains(group.utf8.count), let value = hexadecimal(group) else {
                return nil
            }
            halves[halves.count - 1] += [UInt8(value >> 8), UInt8(value & 255)]
            if rest.hasPrefix("::") {
                guard halves.count == 1 else { return nil }
                rest = rest.dropFirst(2)
                halves.append([])
            } else if rest.hasPrefix(":") {
                rest = rest.dropFirst()
                guard !rest.isEmpty else { return nil }
            }
        }
        let count = halves.reduce(0) { $0 + $1.count }
        guard halves.count == 2 ? count <= 14 : count == 16 else { return nil }
        let zeros = [UInt8](repeating: 0, count: 16 - count)
        return halves[0] + zeros + (halves.count == 2 ? halves[1] : [])
    }

    private static func hexadecimal(_ text: Substring) -> Int? {
        var value = 0
        for byte in text.utf8 {
            switch byte {
            case 48...57: value = value << 4 | Int(byte - 48)
            case 65...70: value = value << 4 | Int(byte - 55)
            case 97...102: value = value << 4 | Int(byte - 87)
            default: return nil
            }
        }
        return value
    }
}

/// All addresses that begin with the same bits, written `10.1.0.0/16`.
public struct NetworkRange: Hashable, Sendable, CustomStringConvertible {
    /// An address of the range; its first `prefixLength` bits are those of every address in the range.
    public let address: NetworkAddress
    /// How many leading bits all addresses of the range share: 0 to 32 for IPv4, 0 to 128 for IPv6.
    public let prefixLength: Int

    /// Creates a range from an address, a slash and a prefix length; returns nil for other text.
    public init?(_ text: some StringProtocol) {
        guard let slash = text.firstIndex(of: "/"), let address = NetworkAddress(text[..<slash]),
            let length = Int(text[text.index(after: slash)...]),
            (0...address.bytes.count * 8).contains(length)
        else { return nil }
        self.address = address
        prefixLength = length
    }

    /// Returns whether an address lies in the range; an address of the other IP version never does.
    public func contains(_ other: NetworkAddress) -> Bool {
        guard other.isIPv6 == address.isIPv6 else { return false }
        return (0..<prefixLength).allSatisfy { bit in
            (other.bytes[bit / 8] ^ address.bytes[bit / 8]) & (0x80 >> UInt8(bit % 8)) == 0
        }
    }

    /// The text that `init(_:)` reads.
    public var description: String { "\(address)/\(prefixLength)" }
}
