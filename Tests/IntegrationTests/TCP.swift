import Glibc
import Testing

/// Plain TCP on this machine.
enum TCP {
    static let loopback: UInt32 = 0x7F00_0001

    private static func address(_ host: UInt32, port: Int) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port).bigEndian)
        address.sin_addr.s_addr = host.bigEndian
        return address
    }

    private static func open() throws -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0)
        try #require(descriptor >= 0)
        return descriptor
    }

    private static func withAddress<Result>(
        _ host: UInt32 = loopback, port: Int, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        var address = address(host, port: port)
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    /// Returns a listening socket and its port, which is free again when the socket is closed.
    static func listen(
        _ host: UInt32 = loopback, port: Int = 0
    ) throws -> (descriptor: Int32, port: Int) {
        let descriptor = try open()
        try #require(withAddress(host, port: port) { bind(descriptor, $0, $1) } == 0)
        try #require(Glibc.listen(descriptor, 8) == 0)
        var address = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let code = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                getsockname(descriptor, $0, &size)
            }
        }
        try #require(code == 0)
        return (descriptor, Int(UInt16(bigEndian: address.sin_port)))
    }

    /// Returns a port at which no process listens now.
    static func freePort() throws -> Int {
        let (descriptor, port) = try listen()
        close(descriptor)
        return port
    }

    /// Returns an open connection, or nil when no process listens at the port.
    static func connected(port: Int) throws -> Int32? {
        let descriptor = try open()
        if withAddress(port: port, { connect(descriptor, $0, $1) }) == 0 { return descriptor }
        close(descriptor)
        return nil
    }

    /// Connects and sends bytes, as far as the other side takes them.
    ///
    /// - Returns: the open connection, or nil when no process listens at the port.
    static func send(_ bytes: [UInt8], port: Int) throws -> Int32? {
        guard let descriptor = try connected(port: port) else { return nil }
        _ = Glibc.send(
            descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
        return descriptor
    }
}
