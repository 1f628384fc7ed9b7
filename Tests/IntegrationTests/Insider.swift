import ClusterRuntime
import FoundationEssentials
import RunFiles
import ZeroMQ

/// One who holds a run's keys and is no member of it.
struct Insider {
    /// A keys directory that serves all processes.
    let keys: String

    private func key(_ file: String) throws -> String {
        String(decoding: try FileSystem.read("\(keys)/\(file)").prefix(40), as: UTF8.self)
    }

    /// Options of a socket that is let in.
    func options(_ base: SocketOptions = SocketOptions()) throws -> SocketOptions {
        var options = base
        options.curve = .client(
            serverKey: try key("coordinator.public"),
            keyPair: try CurveKeyPair(publicKey: key("node.public"), secretKey: key("node.secret")))
        return options
    }
}
