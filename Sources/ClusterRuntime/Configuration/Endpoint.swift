import ClusterProtocol

/// What may be listened on.
public enum Endpoint {
    /// Refuses an endpoint that other hosts can reach, unless that was asked for.
    public static func requireSafe(_ endpoint: String, insecure: Bool) throws(Failure) {
        guard endpoint.hasPrefix("tcp://") || endpoint.hasPrefix("ipc://") else {
            throw .usage(
                "--listen: expected tcp://HOST:PORT (* lets the system choose the port) or "
                    + "ipc://PATH, found \(endpoint)")
        }
        guard endpoint.hasPrefix("tcp://"), !isLoopback(endpoint), !insecure else { return }
        throw .usage(
            "--listen: \(endpoint) can be reached from other hosts, and nothing on the wire is "
                + "encrypted or authenticated yet; listen on tcp://127.0.0.1:PORT, or add --insecure "
                + "on a network you trust")
    }

    private static func isLoopback(_ endpoint: String) -> Bool {
        let host = endpoint.dropFirst("tcp://".count)
        return host.hasPrefix("127.") || host.hasPrefix("localhost:") || host.hasPrefix("[::1]:")
            || host.hasPrefix("lo:")
    }
}
