import ArgumentParser
import ClusterProtocol
import ClusterRuntime

/// Flags of every process that talks to others.
struct SecurityOptions: ParsableArguments {
    @Option(help: "Keys directory, which `convoy keygen` makes; CONVOY_KEYS says the same.")
    var keys: String?

    func transport() throws(Failure) -> Transport { Transport(keys: try KeyRing.given(keys)) }
}

/// The flag of those that listen where other hosts may reach them.
struct InsecureOption: ParsableArguments {
    @Flag(help: "Allow to listen beyond this machine without encryption or authentication.")
    var insecure = false

    /// Whoever says both means one of them.
    func requireFitting(_ security: SecurityOptions) throws(Failure) {
        guard insecure, security.keys != nil else { return }
        throw .usage("--keys and --insecure exclude each other: with keys everything is encrypted")
    }
}
