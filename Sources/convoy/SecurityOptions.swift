import ArgumentParser
import ClusterProtocol
import ClusterRuntime
import RunFiles

/// Flags of every process that talks to others.
struct SecurityOptions: ParsableArguments {
    @Option(
        help: """
            Keys directory, which `convoy keygen` makes; CONVOY_KEYS says the same. On loopback a \
            run makes keys of its own, which its user's processes find.
            """)
    var keys: String?

    /// With the keys that were given, if any were.
    func transport() throws(Failure) -> Transport { Transport(keys: try KeyRing.given(keys)) }
}

/// The flag of those that others connect to.
struct InsecureOption: ParsableArguments {
    @Flag(help: "Go without encryption and authentication, here and beyond this machine.")
    var insecure = false

    /// Whoever says both means one of them.
    func requireFitting(_ security: SecurityOptions) throws(Failure) {
        guard insecure, security.keys != nil else { return }
        throw .usage("--keys and --insecure exclude each other: with keys everything is encrypted")
    }
}
