import ClusterProtocol
import Glibc
import RunFiles
import Threads

/// Turns host names into addresses.
///
/// Threading: the system's resolver may take long and cannot be stopped. It runs on a thread of its
/// own, which is left behind when it is late.
package enum HostLookup {
    private typealias Answer = Result<[NetworkAddress], Trouble>

    /// Why a name could not be resolved.
    private struct Trouble: Error {
        var text: String
        /// Whether the name may become known: name servers learn of hosts as these start.
        var mayPass: Bool
    }

    /// Returns the addresses of a host; an address is returned as it is.
    ///
    /// - Parameters:
    ///   - host: The name or address.
    ///   - flag: The option that gave the name, for the error.
    ///   - limit: How long to try.
    ///   - isPatient: Whether to try again until `limit` when the name is not known.
    ///   - pause: Waits that long or less; returns true when the user wants to stop.
    /// - Throws: `.lost` when the name cannot be resolved, `.interrupted` when the user stopped.
    package static func addresses(
        of host: Endpoint.Host, flag: String, within limit: Duration, isPatient: Bool = false,
        pause: (Duration) -> Bool
    ) throws(RunError) -> [NetworkAddress] {
        guard case .name(let name) = host else {
            if case .address(let address) = host { return [address] }
            return []
        }
        let deadline = SteadyClock.now + limit
        var last = "no answer within \(limit)"
        repeat {
            switch try answer(name, until: deadline, pause: pause) {
            case .success(let addresses): return addresses
            case .failure(let trouble):
                last = trouble.text
                if !trouble.mayPass || !isPatient { break }
                try rest(until: min(deadline, SteadyClock.now + .milliseconds(500)), pause)
                continue
            case nil: break
            }
            break
        } while SteadyClock.now < deadline
        throw .lost(
            "\(flag): the host name \(name) cannot be resolved: \(last); check the name server and "
                + "/etc/hosts, or give an address")
    }

    /// Waits until a moment; throws when the user wants to stop.
    private static func rest(
        until moment: Duration, _ pause: (Duration) -> Bool
    ) throws(RunError) {
        while SteadyClock.now < moment {
            if pause(moment - SteadyClock.now) {
                throw .interrupted("stopped before it joined")
            }
        }
    }

    /// Returns the resolver's answer; nil when it does not come before the deadline.
    private static func answer(
        _ name: String, until deadline: Duration, pause: (Duration) -> Bool
    ) throws(RunError) -> Answer? {
        let result = Monitor<Answer?>(nil)
        let thread = WorkThread(name: "resolve") {
            let answer = resolve(name)
            result.change { $0 = answer }
        }
        while true {
            if let answer = result.wait(until: { Optional.some($0) }) {
                thread.join()
                return answer
            }
            guard SteadyClock.now < deadline else { return nil }
            try rest(until: min(deadline, SteadyClock.now + .milliseconds(5)), pause)
        }
    }

    /// Resolves a name, as long as the resolver takes.
    ///
    /// Safety: the list that `getaddrinfo` gives is read before it is freed.
    private static func resolve(_ name: String) -> Answer {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var first: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(name, nil, &hints, &first)
        guard code == 0 else {
            return .failure(
                Trouble(
                    text: String(cString: gai_strerror(code)),
                    mayPass: code == EAI_AGAIN || code == EAI_NONAME))
        }
        defer { freeaddrinfo(first) }
        var addresses: [NetworkAddress] = []
        var next = first
        while let entry = next?.pointee {
            next = entry.ai_next
            guard let pointer = entry.ai_addr, let address = HostNetwork.address(pointer),
                !addresses.contains(address)
            else { continue }
            addresses.append(address)
        }
        return .success(addresses)
    }
}
