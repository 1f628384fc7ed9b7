import ClusterProtocol
import Glibc

/// What the system knows about this host's addresses.
///
/// Safety: pointers from the system's socket calls are read in place, during the call that gives them,
/// and no further than the address family that they name.
package enum HostNetwork {
    /// The addresses of the interfaces that are up.
    package static var locals: [MemberAddresses.Local] {
        var first: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&first) == 0 else { return [] }
        defer { freeifaddrs(first) }
        var result: [MemberAddresses.Local] = []
        var next = first
        while let entry = next?.pointee {
            next = entry.ifa_next
            guard entry.ifa_flags & UInt32(IFF_UP) != 0, let pointer = entry.ifa_addr,
                let address = address(pointer)
            else { continue }
            result.append(.init(interface: String(cString: entry.ifa_name), address: address))
        }
        return result
    }

    /// Returns whether an address belongs to this host.
    package static func isOwn(_ address: NetworkAddress) -> Bool {
        address.isLoopback || locals.contains { $0.address == address }
    }

    /// Returns the source address of packets from this host to an address; nil without a route. Sends
    /// nothing.
    package static func route(to address: NetworkAddress) -> NetworkAddress? {
        let family = address.isIPv6 ? AF_INET6 : AF_INET
        let descriptor = socket(
            family, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        // The port does not matter: connecting a datagram socket only looks the route up.
        guard withSocketAddress(address, port: 9, { connect(descriptor, $0, $1) }) == 0 else {
            return nil
        }
        let own = named(descriptor, getsockname)
        return own?.isWildcard == true ? nil : own
    }

    /// The address at which other hosts most likely reach this one; nil where there is only loopback.
    package static var outward: NetworkAddress? {
        // These addresses are reserved for documentation: only the default route leads there.
        let probes = ["192.0.2.1", "2001:db8::1"].compactMap { NetworkAddress($0) }
        return probes.lazy.compactMap { route(to: $0) }.first { !$0.isLoopback }
            ?? locals.map(\.address).first { !$0.isLoopback && !$0.isLinkLocal }
    }

    /// Returns the address at the other end of a connection.
    package static func peer(of descriptor: Int32) -> NetworkAddress? { named(descriptor, getpeername) }

    /// Returns the address that `getsockname` or `getpeername` gives for a socket.
    private static func named(
        _ descriptor: Int32,
        _ call: (Int32, UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
    ) -> NetworkAddress? {
        var storage = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                call(descriptor, $0, &size) == 0 ? address($0) : nil
            }
        }
    }

    /// Reads an IPv4 or IPv6 socket address; returns nil for another address family.
    package static func address(_ pointer: UnsafePointer<sockaddr>) -> NetworkAddress? {
        let raw = UnsafeRawPointer(pointer)
        switch Int32(pointer.pointee.sa_family) {
        case AF_INET:
            let address = raw.loadUnaligned(as: sockaddr_in.self).sin_addr
            return NetworkAddress(bytes: withUnsafeBytes(of: address) { Array($0) })
        case AF_INET6:
            let address = raw.loadUnaligned(as: sockaddr_in6.self).sin6_addr
            return NetworkAddress(bytes: withUnsafeBytes(of: address) { Array($0) })
        default: return nil
        }
    }

    /// Calls a closure with the socket address of an address and a port.
    private static func withSocketAddress<Result>(
        _ address: NetworkAddress, port: UInt16,
        _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        func call<Value>(_ value: Value) -> Result {
            withUnsafeBytes(of: value) { bytes in
                body(
                    bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self),
                    socklen_t(bytes.count))
            }
        }
        guard address.isIPv6 else {
            var value = sockaddr_in()
            value.sin_family = sa_family_t(AF_INET)
            value.sin_port = port.bigEndian
            withUnsafeMutableBytes(of: &value.sin_addr) { $0.copyBytes(from: address.bytes) }
            return call(value)
        }
        var value = sockaddr_in6()
        value.sin6_family = sa_family_t(AF_INET6)
        value.sin6_port = port.bigEndian
        withUnsafeMutableBytes(of: &value.sin6_addr) { $0.copyBytes(from: address.bytes) }
        return call(value)
    }
}
