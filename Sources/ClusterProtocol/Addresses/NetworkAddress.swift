/// An IPv4 or IPv6 address. An IPv4 address in IPv6's clothes (`::ffff:10.0.0.1`) is the IPv4 address.
public struct NetworkAddress: Hashable, Sendable, CustomStringConvertible {
    /// 4 bytes or 16, the most significant first.
    public let bytes: [UInt8]

    public init?(bytes: [UInt8]) {
        guard bytes.count == 4 || bytes.count == 16 else { return nil }
        let isMapped =
            bytes.count == 16 && bytes[..<10].allSatisfy { $0 == 0 }
            && bytes[10...11].allSatisfy { $0 == 0xFF }
        self.bytes = isMapped ? Array(bytes[12...]) : bytes
    }

    /// Reads the text form, without brackets; nil for anything else, names and zones included.
    public init?(_ text: some StringProtocol) {
        guard let bytes = Self.version4(text) ?? Self.version6(text) else { return nil }
        self.init(bytes: bytes)
    }

    public var isIPv6: Bool { bytes.count == 16 }

    /// 127.0.0.0/8 and ::1: only this host can reach it.
    public var isLoopback: Bool {
        isIPv6 ? bytes.dropLast().allSatisfy { $0 == 0 } && bytes[15] == 1 : bytes[0] == 127
    }

    /// 0.0.0.0 and ::, which stand for every address of a host.
    public var isWildcard: Bool { bytes.allSatisfy { $0 == 0 } }

    /// An address that holds on one wire only: 169.254.0.0/16 and fe80::/10.
    public var isLinkLocal: Bool {
        isIPv6 ? bytes[0] == 0xFE && bytes[1] & 0xC0 == 0x80 : bytes[0] == 169 && bytes[1] == 254
    }

    /// Source: RFC 5952 for IPv6.
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

    private static func longestRunOfZeros(_ groups: [Int]) -> Range<Int> {
        var longest = 0..<0
        var start = 0
        for (index, group) in groups.enumerated() {
            if group != 0 { start = index + 1 }
            if index + 1 - start > longest.count { longest = start..<(index + 1) }
        }
        return longest
    }

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

    /// Source: RFC 4291, section 2.2.
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
    public let address: NetworkAddress
    public let prefixLength: Int

    public init?(_ text: some StringProtocol) {
        guard let slash = text.firstIndex(of: "/"), let address = NetworkAddress(text[..<slash]),
            let length = Int(text[text.index(after: slash)...]),
            (0...address.bytes.count * 8).contains(length)
        else { return nil }
        self.address = address
        prefixLength = length
    }

    public func contains(_ other: NetworkAddress) -> Bool {
        guard other.isIPv6 == address.isIPv6 else { return false }
        return (0..<prefixLength).allSatisfy { bit in
            (other.bytes[bit / 8] ^ address.bytes[bit / 8]) & (0x80 >> UInt8(bit % 8)) == 0
        }
    }

    public var description: String { "\(address)/\(prefixLength)" }
}
