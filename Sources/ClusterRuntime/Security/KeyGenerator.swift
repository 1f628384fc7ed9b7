import ClusterProtocol
import Glibc
import RunFiles
import ZeroMQ

/// Makes keys directories.
package struct KeyGenerator {
    /// What to do with keys that are there already.
    package enum Present: Sendable {
        /// Report an error.
        case refuse
        /// Keep the keys of nodes that have some, and add the new nodes to their allow-lists.
        case keep
        /// Replace them.
        case overwrite
    }

    private let output: String
    private let present: Present
    /// Whether the keys must survive a power cut. A run's own keys need not, since no process of the
    /// run is at work after one.
    package var isDurable = true

    /// Creates a generator that writes to the directory `output`.
    package init(output: String, present: Present) {
        self.output = FileSystem.absolute(output)
        self.present = present
    }

    /// Makes one directory that every process of a small cluster can use.
    ///
    /// - Throws: `.usage` for `keep`, `.keys` when there are keys that must be kept, `.storage`
    ///   when the directory cannot be written.
    package func makeShared() throws(RunError) {
        guard present != .keep else {
            throw .usage("--add: it adds to the nodes of --nodes, which is not given")
        }
        try requireFree(output)
        let pair = try Self.pair()
        try write(pair, to: output, coordinator: pair.publicKey, allowed: ["node": pair.publicKey])
    }

    /// Makes one directory for each node below the output directory; every node lets all nodes in.
    ///
    /// - Parameter names: The nodes' names. The coordinator runs on the first node, unless there is a
    ///   coordinator's key already.
    /// - Returns: The nodes for which keys were made.
    /// - Throws: `.usage` for a name that is malformed or occurs twice, `.keys` when there are keys
    ///   that must be kept, `.storage` when a directory cannot be written.
    package func make(nodes names: [String]) throws(RunError) -> [String] {
        guard Set(names).count == names.count else { throw .usage("--nodes: a name occurs twice") }
        for name in names {
            guard case .name(name)? = Endpoint.Host(name) else {
                throw .usage(
                    "--nodes: expected names of letters, digits, dots, hyphens and underscores, found "
                        + "\"\(name)\"")
            }
            if name == "." || name == ".." || name.hasPrefix(".") {
                throw .usage("--nodes: a name cannot begin with a dot, found \(name)")
            }
        }
        var rings: [String: CurveKeyPair] = [:]
        var coordinator: String?
        if present == .keep {
            for name in FileSystem.names(in: output)
            where FileSystem.exists("\(output)/\(name)/\(KeyRing.secretName)") {
                let ring = try KeyRing(directory: "\(output)/\(name)")
                rings[name] = ring.pair
                coordinator = ring.coordinatorKey
            }
        }
        let new = names.filter { rings[$0] == nil }
        for name in new {
            try requireFree("\(output)/\(name)")
            rings[name] = try Self.pair()
        }
        guard let coordinatorKey = coordinator ?? names.first.flatMap({ rings[$0]?.publicKey }) else {
            throw .usage("--nodes: expected names, separated by commas")
        }
        try makeDirectory(output)
        let allowed = rings.mapValues(\.publicKey)
        for (name, pair) in rings.sorted(by: { $0.key < $1.key }) {
            let directory = "\(output)/\(name)"
            if new.contains(name) {
                try write(pair, to: directory, coordinator: coordinatorKey, allowed: allowed)
            } else {
                try write(allowed, to: "\(directory)/\(KeyRing.allowedName)")
            }
        }
        return new
    }

    private static func pair() throws(RunError) -> CurveKeyPair {
        do throws(ZeroMQError) { return try .generate() } catch { throw .usage("keygen: \(error)") }
    }

    /// Throws when a directory has keys that may not be replaced.
    private func requireFree(_ directory: String) throws(RunError) {
        let secret = "\(directory)/\(KeyRing.secretName)"
        guard present != .overwrite else { return }
        guard !FileSystem.exists(secret) else {
            throw .keys(
                "\(secret) is there already; whoever uses it would lose it, so choose another --output "
                    + "or say --overwrite")
        }
    }

    private func write(
        _ pair: CurveKeyPair, to directory: String, coordinator: String, allowed: [String: String]
    ) throws(RunError) {
        try makeDirectory(directory)
        let list = "\(directory)/\(KeyRing.allowedName)"
        // Nodes on the former list must not be let in any more; the new list follows at once.
        if present == .overwrite { FileSystem.remove(list) }
        try write(allowed, to: list)
        try write(coordinator, to: "\(directory)/\(KeyRing.coordinatorName)")
        try write(pair.publicKey, to: "\(directory)/\(KeyRing.publicName)")
        try write(pair.secretKey, to: "\(directory)/\(KeyRing.secretName)")
    }

    private func write(_ allowed: [String: String], to directory: String) throws(RunError) {
        try makeDirectory(directory)
        for (name, key) in allowed.sorted(by: { $0.key < $1.key }) {
            try write(key, to: "\(directory)/\(name)\(KeyRing.publicSuffix)")
        }
    }

    /// Replaces a file by a new one that only this user can read.
    private func write(_ key: String, to path: String) throws(RunError) {
        let temporary = "\(path).tmp"
        unlink(temporary)
        try FileSystem.write(
            Array("\(key)\n".utf8), to: temporary, mode: 0o600, durably: isDurable)
        try FileSystem.rename(temporary, to: path, durably: isDurable)
    }

    /// Creates a directory that only this user can enter, unless it exists.
    private func makeDirectory(_ path: String) throws(RunError) {
        if mkdir(path, 0o700) == 0 { return }
        if errno == ENOENT { try FileSystem.makeDirectories(FileSystem.parent(of: path)) }
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else {
            throw FileSystem.failure("create directory", path)
        }
    }
}
