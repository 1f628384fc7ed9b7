import ClusterRuntime
import FoundationEssentials
import RunFiles
import ZeroMQ

/// A peer that holds a run's keys without being its member.
struct Insider {
    /// The path of a keys directory that serves all processes.
    let keys: String

    private func key(_ file: String) throws -> String {
        String(decoding: try FileSystem.read("\(keys)/\(file)").prefix(40), as: UTF8.self)
    }

    /// Returns the options of a socket with the run's keys.
    func options(_ base: SocketOptions = SocketOptions()) throws -> SocketOptions {
        var options = base
        options.curve = .client(
            serverKey: try key("coordinator.public"),
            keyPair: try CurveKeyPair(publicKey: key("node.public"), secretKey: key("node.secret")))
        return options
    }
}
