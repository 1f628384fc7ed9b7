import Glibc
import Threads

/// Tries the parts of the network that a cluster needs: names, addresses, listening and connecting.
///
/// Safety: socket addresses are handled as the bytes that `getaddrinfo` and `getifaddrs` returned,
/// with their lengths. They are copied before the lists are freed.
enum NetworkProbe {
    /// A socket address in the form that the system's calls take.
    struct Address: Hashable {
        var bytes: [UInt8]
        var family: Int32

        /// The numeric form of the address.
        var text: String {
            var name = [CChar](repeating: 0, count: 128)
            let code = bytes.withUnsafeBytes { raw in
                getnameinfo(
                    raw.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(raw.count),
                    &name, socklen_t(name.count), nil, 0, NI_NUMERICHOST)
            }
            guard code == 0 else { return "unknown" }
            return String(
                decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        }

        func withPointer<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
            bytes.withUnsafeBytes { raw in
                body(
                    raw.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(raw.count))
            }
        }
    }

    /// Returns whether the text is a numeric IPv4 or IPv6 address.
    static func isNumeric(_ text: String) -> Bool {
        (try? addresses(of: text, port: 0, isNumeric: true).get())?.isEmpty == false
    }

    static func isLoopback(_ address: String) -> Bool {
        address.hasPrefix("127.") || address == "::1"
    }

    /// A name that does not resolve, with the resolver's reason.
    struct Unresolved: Error {
        var text: String
    }

    /// Resolves a name. This takes as long as the system's resolver does.
    static func addresses(
        of name: String, port: Int, isNumeric: Bool = false
    ) -> Result<[Address], Unresolved> {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICSERV | (isNumeric ? AI_NUMERICHOST : 0)
        var first: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(name, "\(port)", &hints, &first)
        guard code == 0 else {
            return .failure(Unresolved(text: String(cString: gai_strerror(code))))
        }
        defer { freeaddrinfo(first) }
        var result: [Address] = []
        var next = first
        while let entry = next?.pointee {
            next = entry.ai_next
            guard let pointer = entry.ai_addr else { continue }
            let raw = UnsafeRawBufferPointer(start: pointer, count: Int(entry.ai_addrlen))
            let address = Address(bytes: [UInt8](raw), family: entry.ai_family)
            if !result.contains(address) { result.append(address) }
        }
        return .success(result)
    }

    /// The addresses of the interfaces that are up, including loopback.
    static var interfaces: [HostReport.Interface] {
        var first: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&first) == 0 else { return [] }
        defer { freeifaddrs(first) }
        var result: [HostReport.Interface] = []
        var next = first
        while let entry = next?.pointee {
            next = entry.ifa_next
            guard entry.ifa_flags & UInt32(IFF_UP) != 0, let pointer = entry.ifa_addr
            else { continue }
            let family = Int32(pointer.pointee.sa_family)
            guard family == AF_INET || family == AF_INET6 else { continue }
            let count =
                family == AF_INET
                ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size
            let bytes = [UInt8](UnsafeRawBufferPointer(start: pointer, count: count))
            result.append(
                .init(
                    name: String(cString: entry.ifa_name),
                    address: Address(bytes: bytes, family: family).text))
        }
        return result
    }

    // MARK: Listening

    /// A listening socket. It is closed with its last reference.
    final class Listener {
        let descriptor: Int32
        let port: Int

        fileprivate init(descriptor: Int32, port: Int) {
            self.descriptor = descriptor
            self.port = port
        }

        deinit { close(descriptor) }

        /// Accepts connections and closes them at once.
        func drain() {
            while true {
                let connection = accept(descriptor, nil, nil)
                guard connection >= 0 else { return }
                close(connection)
            }
        }
    }

    /// Every address of the host: of IPv4 and of IPv6, where it has both.
    static let anywhere = "::"

    /// The result of an attempt to listen.
    enum Listening {
        case open(Listener)
        case failed(NetworkTrouble)
    }

    /// Listens at an address.
    ///
    /// - Parameter port: The port; 0 lets the system choose.
    static func listen(_ address: String, port: Int) -> Listening {
        let listening = listenOnce(address, port: port)
        // A host without IPv6 lacks this address, or the whole family.
        guard address == anywhere, case .failed(let trouble) = listening, trouble != .portInUse
        else { return listening }
        return listenOnce("0.0.0.0", port: port)
    }

    private static func listenOnce(_ address: String, port: Int) -> Listening {
        guard case .success(let all) = addresses(of: address, port: port), let own = all.first
        else { return .failed(.unresolved) }
        let descriptor = open(own)
        guard descriptor >= 0 else { return .failed(trouble(errno)) }
        var on: Int32 = 1
        // A port whose last connections still linger counts as free.
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, 4)
        if address == anywhere {
            var off: Int32 = 0
            setsockopt(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &off, 4)
        }
        guard own.withPointer({ bind(descriptor, $0, $1) }) == 0,
            Glibc.listen(descriptor, 1024) == 0
        else {
            let code = errno
            close(descriptor)
            return .failed(trouble(code))
        }
        return .open(Listener(descriptor: descriptor, port: boundPort(descriptor)))
    }

    private static func open(_ address: Address) -> Int32 {
        socket(
            address.family,
            Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
    }

    private static func boundPort(_ descriptor: Int32) -> Int {
        var storage = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutableBytes(of: &storage) { raw in
            let code = getsockname(
                descriptor, raw.baseAddress!.assumingMemoryBound(to: sockaddr.self), &size)
            // The port is at the same offset in both families.
            return code == 0 ? Int(raw[2]) << 8 | Int(raw[3]) : 0
        }
    }

    // MARK: Connecting

    private struct Attempt {
        var index: Int
        var descriptor: Int32
    }

    /// Connects to all targets at once. Once the names are resolved, it waits no longer than
    /// `limit` for the last.
    static func connect(
        _ targets: [(host: String, port: Int)], within limit: Duration
    ) -> [HostReport.Probe] {
        var probes = targets.map {
            HostReport.Probe(address: $0.host, port: $0.port, trouble: .noAnswer)
        }
        var attempts: [Attempt] = []
        for (index, target) in targets.enumerated() {
            guard case .success(let all) = addresses(of: target.host, port: target.port),
                let address = all.first
            else {
                probes[index].trouble = .unresolved
                continue
            }
            let descriptor = open(address)
            let isConnected =
                descriptor >= 0
                && address.withPointer { Glibc.connect(descriptor, $0, $1) } == 0
            if isConnected || errno != EINPROGRESS {
                probes[index].trouble = isConnected ? nil : trouble(errno)
                if descriptor >= 0 { close(descriptor) }
            } else {
                attempts.append(Attempt(index: index, descriptor: descriptor))
            }
        }
        let deadline = SteadyClock.now + limit
        while !attempts.isEmpty, SteadyClock.now < deadline {
            attempts = settle(attempts, into: &probes, until: deadline)
        }
        for attempt in attempts { close(attempt.descriptor) }
        return probes
    }

    /// Waits for some attempts and closes those that are decided.
    ///
    /// - Returns: The attempts that are still open.
    private static func settle(
        _ attempts: [Attempt], into probes: inout [HostReport.Probe], until deadline: Duration
    ) -> [Attempt] {
        var items = attempts.map {
            pollfd(fd: $0.descriptor, events: Int16(POLLOUT), revents: 0)
        }
        let wait = max(1, min((deadline - SteadyClock.now) / .milliseconds(1), 60_000))
        guard poll(&items, nfds_t(items.count), Int32(wait)) > 0 else { return attempts }
        return zip(attempts, items).compactMap { attempt, item in
            guard item.revents != 0 else { return attempt }
            var code: Int32 = 0
            var size = socklen_t(4)
            getsockopt(attempt.descriptor, SOL_SOCKET, SO_ERROR, &code, &size)
            probes[attempt.index].trouble = code == 0 ? nil : trouble(code)
            close(attempt.descriptor)
            return nil
        }
    }

    private static func trouble(_ code: Int32) -> NetworkTrouble {
        switch code {
        case EADDRNOTAVAIL: .addressNotHere
        case EADDRINUSE: .portInUse
        case EACCES, EPERM: .noPermission
        case ENETUNREACH, EHOSTUNREACH: .noRoute
        case ECONNREFUSED: .refused
        case ETIMEDOUT: .noAnswer
        default: .other(String(cString: strerror(code)))
        }
    }
}
