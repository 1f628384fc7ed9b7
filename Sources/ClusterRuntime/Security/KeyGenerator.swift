import ClusterProtocol
import Glibc
import RunFiles
import ZeroMQ

/// Makes keys directories.
package struct KeyGenerator {
    package enum Present: Sendable {
        /// Anything in the way is an error.
        case refuse
        /// Nodes that have keys keep them, and get to know the new ones.
        case keep
        case overwrite
    }

    private let output: String
    private let present: Present
    /// Whether keys must be there after a power cut: nobody is at work with those of a run then.
    package var isDurable = true

    package init(output: String, present: Present) {
        self.output = FileSystem.absolute(output)
        self.present = present
    }

    /// One directory that is good for every process of a small cluster.
    package func makeShared() throws(Failure) {
        guard present != .keep else {
            throw .usage("--add: it adds to the nodes of --nodes, which is not given")
        }
        try requireFree(output)
        let pair = try Self.pair()
        try write(pair, to: output, coordinator: pair.publicKey, allowed: ["node": pair.publicKey])
    }

    /// A directory a node below the output; every node lets all nodes in.
    ///
    /// - Parameter names: the first is where the coordinator runs, unless there is one already.
    /// - Returns: the nodes that keys were made for.
    package func make(nodes names: [String]) throws(Failure) -> [String] {
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

    private static func pair() throws(Failure) -> CurveKeyPair {
        do throws(ZeroMQError) { return try .generate() } catch { throw .usage("keygen: \(error)") }
    }

    private func requireFree(_ directory: String) throws(Failure) {
        let secret = "\(directory)/\(KeyRing.secretName)"
        guard present != .overwrite else { return }
        guard !FileSystem.exists(secret) else {
            throw .data(
                "\(secret) is there already; whoever uses it would lose it, so choose another --output "
                    + "or say --overwrite")
        }
    }

    private func write(
        _ pair: CurveKeyPair, to directory: String, coordinator: String, allowed: [String: String]
    ) throws(Failure) {
        try makeDirectory(directory)
        let list = "\(directory)/\(KeyRing.allowedName)"
        // Who was let in before is let in no longer, once there is something to put in its place.
        if present == .overwrite { FileSystem.remove(list) }
        try write(allowed, to: list)
        try write(coordinator, to: "\(directory)/\(KeyRing.coordinatorName)")
        try write(pair.publicKey, to: "\(directory)/\(KeyRing.publicName)")
        try write(pair.secretKey, to: "\(directory)/\(KeyRing.secretName)")
    }

    private func write(_ allowed: [String: String], to directory: String) throws(Failure) {
        try makeDirectory(directory)
        for (name, key) in allowed.sorted(by: { $0.key < $1.key }) {
            try write(key, to: "\(directory)/\(name)\(KeyRing.publicSuffix)")
        }
    }

    /// A new file of this user's alone takes the place of what had the name.
    private func write(_ key: String, to path: String) throws(Failure) {
        let temporary = "\(path).tmp"
        unlink(temporary)
        try FileSystem.write(
            Array("\(key)\n".utf8), to: temporary, mode: 0o600, durably: isDurable)
        try FileSystem.rename(temporary, to: path, durably: isDurable)
    }

    private func makeDirectory(_ path: String) throws(Failure) {
        if mkdir(path, 0o700) == 0 { return }
        if errno == ENOENT { try FileSystem.makeDirectories(FileSystem.parent(of: path)) }
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else {
            throw FileSystem.failure("create directory", path)
        }
    }
}
