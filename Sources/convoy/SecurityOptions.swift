import ArgumentParser
import ClusterProtocol
import ClusterRuntime
import RunFiles

/// The flags of every process that communicates with others.
struct SecurityOptions: ParsableArguments {
    @Option(
        help: """
            Keys directory, which `convoy keygen` makes; CONVOY_KEYS says the same. On loopback a \
            run makes keys of its own, which its user's processes find.
            """)
    var keys: String?

    /// Returns the transport with the given keys, or without keys when none were given.
    func transport() throws(RunError) -> Transport { Transport(keys: try KeyRing.given(keys)) }
}

/// The flag of the processes that accept connections.
struct InsecureOption: ParsableArguments {
    @Flag(help: "Go without encryption and authentication, here and beyond this machine.")
    var insecure = false

    /// Refuses `--insecure` together with keys: they contradict each other.
    func requireFitting(_ security: SecurityOptions) throws(RunError) {
        guard insecure, security.keys != nil else { return }
        throw .usage("--keys and --insecure exclude each other: with keys everything is encrypted")
    }
}
