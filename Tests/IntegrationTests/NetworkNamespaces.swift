import ClusterHosts
import ClusterRuntime
import Glibc
import TestSupport
import Testing

/// Two hosts, alpha and beta, as network namespaces of this machine with a cable between them.
final class NetworkNamespaces {
    /// Whether network namespaces can be made here: that needs root and iproute2.
    static let isAvailable: Bool = {
        let name = "cvy-\(getpid())-try"
        let isThere = (try? shell("ip netns add \(name) && ip netns exec \(name) true")) == true
        _ = try? shell("ip netns del \(name)")
        return isThere
    }()

    private let prefix = "cvy-\(getpid())"
    /// The path of the script that takes the place of ssh.
    let transport: String

    init(_ directory: TemporaryDirectory) throws {
        transport = try directory.write(
            """
            #!/bin/sh
            exec ip netns exec \(prefix)-"$1" sh -c "$2"

            """, "transport")
        chmod(transport, 0o755)
        let (alpha, beta) = ("\(prefix)-alpha", "\(prefix)-beta")
        for name in [alpha, beta] {
            _ = try Self.shell("ip netns del \(name)")
            try #require(try Self.shell("ip netns add \(name)"))
            try run(String(name.dropFirst(prefix.count + 1)), "ip link set lo up")
        }
        try #require(
            try Self.shell(
                "ip link add veth0 netns \(alpha) type veth peer name veth0 netns \(beta)"))
        for (name, address) in [("alpha", "10.77.0.1"), ("beta", "10.77.0.2")] {
            try run(name, "ip addr add \(address)/24 dev veth0 && ip link set veth0 up")
        }
    }

    deinit {
        for name in ["alpha", "beta"] { _ = try? Self.shell("ip netns del \(prefix)-\(name)") }
    }

    /// Runs a command on one of the hosts.
    func run(_ host: String, _ command: String) throws {
        try #require(
            try Self.shell("ip netns exec \(prefix)-\(host) sh -c '\(command)'"), "\(command)")
    }

    private static func shell(_ command: String) throws -> Bool {
        let child = try ChildProcess(
            name: "sh", executable: "/bin/sh", arguments: ["-c", command], output: "/dev/null")
        return child.wait(within: .seconds(10)) == .exited(0)
    }
}
