import ClusterProtocol
import Glibc
import Logging
import RunFiles
import ZeroMQ

/// The keys that a run makes for itself when it is given none: `RUN_DIR/keys`, which the run's user
/// alone can read. All processes of the run share them, and whoever asks it as that user.
package enum RunKeys {
    /// How a coordinator meets others: by the keys it was given, without any when that was asked for,
    /// otherwise by keys of the run's own. Those that are there are taken up, since members of the run
    /// may be at work with them; they are made anew, and the former put aside, when they are not this user's alone.
    package static func transport(
        _ given: Transport, in directory: RunDirectory, insecure: Bool, log: Logger
    ) throws(Failure) -> Transport {
        guard given.keys == nil, !insecure else {
            given.warnIfOpen(log)
            return given
        }
        guard LibraryVersion.hasCurve else {
            throw .usage(
                "this libzmq (\(LibraryVersion.current)) was built without CURVE, so the run can have "
                    + "no keys; install one that has it (Debian's libzmq5 does), or say --insecure: "
                    + "then every user of this host can take part")
        }
        let (keys, fault) = try obtain(directory.keys)
        if let fault {
            log.warning("made the run's keys anew", metadata: [LogKey.reason: "\(fault)"])
        }
        return Transport(keys: keys)
    }

    /// - Returns: the keys, and what was wrong with those that were there before.
    package static func obtain(_ path: String) throws(Failure) -> (keys: KeyRing, fault: String?) {
        var fault: String?
        switch PrivateDirectory.state(path) {
        case .good:
            do throws(Failure) {
                let keys = try KeyRing(directory: path)
                try keys.requireCoordinator()
                return (keys, nil)
            } catch {
                fault = error.text
            }
        case .missing: break
        case .wrong(let found): fault = "\(path) was \(found)"
        }
        if fault != nil { try putAside(path) }
        var generator = KeyGenerator(output: path, present: .overwrite)
        generator.isDurable = false
        try generator.makeShared()
        return (try KeyRing(directory: path), fault)
    }

    /// The keys of the run in a directory, for who asks it; nil when it has none of its own.
    package static func existing(_ directory: RunDirectory) throws(Failure) -> KeyRing? {
        let path = directory.keys
        guard PrivateDirectory.state(path) != .missing else { return nil }
        if access("\(path)/\(KeyRing.secretName)", R_OK) != 0, errno == EACCES {
            throw .data(
                "\(directory.path): only the user who runs it can ask it; user \(geteuid()) cannot "
                    + "read its keys in \(path)")
        }
        return try KeyRing(directory: path)
    }

    /// Lets other processes of this user find the keys by where the coordinator listens. To be called
    /// when it does.
    ///
    /// - Parameter warn: is given one line when they will not find them.
    /// - Returns: to be kept as long as the coordinator is at work; nil when there is nothing to find.
    package static func publish(
        _ transport: Transport, of directory: RunDirectory, warn: (String) -> Void
    ) -> KeyRegistry.Entry? {
        guard let keys = transport.keys, isBelow(keys.directory, directory.keys) else {
            // The run goes without keys of its own by now, and nobody shall try them.
            remove(directory.keys)
            return nil
        }
        guard let endpoint = JournalReader.endpoints(directory)?.control,
            !KeyRegistry.places(of: endpoint).isEmpty
        else { return nil }
        do throws(Failure) {
            return try KeyRegistry.own.publish(keys.directory, at: endpoint)
        } catch {
            warn("\(error.text); members started by hand need --keys \(keys.directory)")
            return nil
        }
    }

    private static func isBelow(_ path: String, _ parent: String) -> Bool {
        guard let path = FileSystem.resolved(path), let parent = FileSystem.resolved(parent) else {
            return false
        }
        return path == parent || path.hasPrefix("\(parent)/")
    }

    /// What is not this user's alone may hold anything, links among it, so nothing in it is touched.
    private static func putAside(_ path: String) throws(Failure) {
        let aside = "\(path).replaced-\(String(UInt32.random(in: .min ... .max), radix: 16))"
        guard Glibc.rename(path, aside) == 0 else { throw FileSystem.failure("rename to", aside) }
    }
}
