import ClusterProtocol
import Glibc
import Logging
import RunFiles
import ZeroMQ

/// The keys that a run makes for itself when it is given none: `RUN_DIR/keys`, which only the run's
/// user can read.
///
/// All processes of the run share these keys, and so do processes of the same user that ask about it.
package enum RunKeys {
    /// Returns the keys with which a coordinator listens: the given keys, no keys when that was asked
    /// for, or otherwise keys of the run's own.
    ///
    /// Keys of the run that exist are used again, since members of the run may be at work with them. If
    /// they are damaged, or other users can read or change them, they are put aside and new ones are
    /// made.
    ///
    /// - Throws: `.usage` when libzmq has no CURVE, `.storage` or `.keys` when keys cannot be
    ///   written.
    package static func transport(
        _ given: Transport, in directory: RunDirectory, insecure: Bool, log: Logger
    ) throws(RunError) -> Transport {
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

    /// Reads a run's own keys, or makes them.
    ///
    /// - Returns: The keys, and what was wrong with keys that were there before.
    package static func obtain(_ path: String) throws(RunError) -> (keys: KeyRing, fault: String?) {
        var fault: String?
        switch PrivateDirectory.state(path) {
        case .good:
            do throws(RunError) {
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

    /// Returns the keys of the run in a directory, for a process that asks about the run; nil when the
    /// run has none of its own.
    ///
    /// - Throws: `.keys` when this user cannot read the keys or they are damaged.
    package static func existing(_ directory: RunDirectory) throws(RunError) -> KeyRing? {
        let path = directory.keys
        guard PrivateDirectory.state(path) != .missing else { return nil }
        if access("\(path)/\(KeyRing.secretName)", R_OK) != 0, errno == EACCES {
            throw .keys(
                "\(directory.path): only the user who runs it can ask it; user \(geteuid()) cannot "
                    + "read its keys in \(path)")
        }
        return try KeyRing(directory: path)
    }

    /// Lets other processes of this user find the keys by the endpoint at which the coordinator
    /// listens. To be called once it listens.
    ///
    /// - Parameters:
    ///   - transport: The keys with which the coordinator listens.
    ///   - directory: The run's directory.
    ///   - warn: Gets one line when other processes will not find the keys.
    /// - Returns: The entry, to be kept for as long as the coordinator is at work; nil when there is
    ///   nothing to find.
    package static func publish(
        _ transport: Transport, of directory: RunDirectory, warn: (String) -> Void
    ) -> KeyRegistry.Entry? {
        guard let keys = transport.keys, isBelow(keys.directory, directory.keys) else {
            // The run no longer has keys of its own, and other processes must not try its former ones.
            KeyFiles.remove(directory.keys)
            return nil
        }
        guard let endpoint = JournalReader.endpoints(directory)?.control,
            !KeyRegistry.places(of: endpoint).isEmpty
        else { return nil }
        do throws(RunError) {
            return try KeyRegistry.own.publish(keys.directory, at: endpoint)
        } catch {
            warn("\(error.text); members started by hand need --keys \(keys.directory)")
            return nil
        }
    }

    /// Returns whether a path, with links resolved, is a directory or lies below it.
    private static func isBelow(_ path: String, _ parent: String) -> Bool {
        guard let path = FileSystem.resolved(path), let parent = FileSystem.resolved(parent) else {
            return false
        }
        return path == parent || path.hasPrefix("\(parent)/")
    }

    /// Renames a directory whose keys cannot be used. Another user may have put anything into it, links
    /// too, so nothing in it is touched.
    private static func putAside(_ path: String) throws(RunError) {
        let aside = "\(path).replaced-\(String(UInt32.random(in: .min ... .max), radix: 16))"
        guard Glibc.rename(path, aside) == 0 else { throw FileSystem.failure("rename to", aside) }
    }
}
