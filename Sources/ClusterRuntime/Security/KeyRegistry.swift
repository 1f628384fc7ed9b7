import ClusterProtocol
import Glibc
import RunFiles
import Threads

/// Where processes of one user on one host find a run's keys, given the endpoint at which its
/// coordinator listens.
///
/// The registry is a directory that no environment variable moves, with one file for each loopback or
/// Unix endpoint. A file holds the path of a keys directory. The coordinator keeps its file locked
/// (`flock`). The kernel releases the lock when the process ends, so a file that a dead process has
/// left is ignored.
///
/// Every user can create a directory of any name in /tmp. The registry is therefore used only if the
/// directory belongs to this user and no other user can enter it.
package struct KeyRegistry: Sendable {
    /// The registry of this user.
    package static var own: KeyRegistry { KeyRegistry("/tmp/convoy-\(geteuid())") }

    private static let lockName = ".lock"
    private static let maximumPathByteCount = 4096
    /// How long to wait for the registry's lock; other processes hold it for a moment only.
    private static let patience = Duration.seconds(2)
    /// The time between two looks for a coordinator.
    private static let interval = Duration.milliseconds(50)

    private let path: String

    /// Creates the registry in a directory.
    package init(_ path: String) { self.path = path }

    /// A coordinator's entry in the registry, which is withdrawn when this object goes away.
    package final class Entry {
        private let registry: KeyRegistry
        private let file: String
        private var descriptor: Int32

        fileprivate init(_ registry: KeyRegistry, _ file: String, _ descriptor: Int32) {
            self.registry = registry
            self.file = file
            self.descriptor = descriptor
        }

        deinit { withdraw() }

        /// Removes the entry's file, unless another coordinator has replaced it.
        package func withdraw() {
            guard descriptor >= 0 else { return }
            defer {
                close(descriptor)
                descriptor = -1
            }
            guard let lock = try? registry.lock() else { return }
            defer { close(lock) }
            var own = stat()
            var there = stat()
            guard fstat(descriptor, &own) == 0, lstat(file, &there) == 0,
                own.st_ino == there.st_ino, own.st_dev == there.st_dev
            else { return }
            unlink(file)
        }
    }

    // MARK: Places

    /// Returns the endpoints under which a coordinator is found; none when other hosts can reach the
    /// endpoint.
    ///
    /// - Parameters:
    ///   - endpoint: Where the coordinator listens, as the user wrote it.
    ///   - addresses: The addresses that its host name resolved to.
    package static func places(
        of endpoint: Endpoint, resolvedTo addresses: [NetworkAddress] = []
    ) -> [Endpoint] {
        guard case .tcp(let host, let port) = endpoint else { return [endpoint] }
        guard port != nil else { return [] }
        var found = addresses
        if case .address(let address) = host {
            found = [address]
        } else if found.isEmpty, host.isLoopback {
            found = [.loopbackIPv4, .loopbackIPv6]
        }
        guard found.allSatisfy(\.isLoopback) else { return [] }
        return found.map { endpoint.at(.address($0)) }
    }

    /// Returns the path of an endpoint's file. The name includes the network namespace: namespaces have
    /// ports of their own, but may share /tmp.
    package func file(of endpoint: Endpoint) -> String {
        switch endpoint {
        case .tcp(let host, let port):
            var status = stat()
            let space = stat("/proc/self/ns/net", &status) == 0 ? status.st_ino : 0
            return "\(path)/\(host):\(port ?? 0)-\(space)"
        case .ipc(let socket):
            let name = FileSystem.absolute(socket).replacing("%", with: "%25")
            return "\(path)/\(name.replacing("/", with: "%2F"))"
        }
    }

    // MARK: Coordinators

    /// Publishes the keys of the coordinator that listens at an endpoint, in place of those of an
    /// earlier one.
    ///
    /// - Parameters:
    ///   - keys: The path of the keys directory.
    ///   - endpoint: Where the coordinator listens.
    /// - Returns: The entry, to be kept for as long as the coordinator listens.
    /// - Throws: `.keys` when the directory is not private to this user, `.storage` when it cannot
    ///   be written, `.occupied` when another process holds its lock for too long.
    package func publish(_ keys: String, at endpoint: Endpoint) throws(RunError) -> Entry {
        if mkdir(path, 0o700) != 0, errno != EEXIST {
            throw FileSystem.failure("create directory", path)
        }
        guard try isThere() else { throw FileSystem.failure("find", path, code: ENOENT) }
        let lock = try lock()
        defer { close(lock) }
        sweep()
        let file = file(of: endpoint)
        let temporary = "\(path)/.\(String(UInt64.random(in: .min ... .max), radix: 16))"
        let descriptor = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw FileSystem.failure("create", temporary) }
        let bytes = Array(keys.utf8)
        guard write(descriptor, bytes, bytes.count) == bytes.count,
            flock(descriptor, LOCK_EX | LOCK_NB) == 0, rename(temporary, file) == 0
        else {
            let failure = FileSystem.failure("write", file)
            close(descriptor)
            unlink(temporary)
            throw failure
        }
        return Entry(self, file, descriptor)
    }

    /// Removes the files of coordinators that are gone.
    private func sweep() {
        for name in FileSystem.names(in: path) where name != Self.lockName {
            let descriptor = open("\(path)/\(name)", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
            guard descriptor >= 0 else { continue }
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { unlink("\(path)/\(name)") }
            close(descriptor)
        }
    }

    /// Takes the lock under which names change.
    ///
    /// - Returns: A descriptor; closing it releases the lock.
    /// - Throws: `.occupied` when another process holds the lock for too long.
    fileprivate func lock() throws(RunError) -> Int32 {
        let file = "\(path)/\(Self.lockName)"
        let descriptor = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw FileSystem.failure("open", file) }
        let deadline = SteadyClock.now + Self.patience
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            guard SteadyClock.now < deadline else {
                close(descriptor)
                throw .occupied(
                    "\(file): another process has held it for \(Self.patience); end that one (fuser "
                        + "names it)")
            }
            usleep(5_000)
        }
        return descriptor
    }

    // MARK: Others

    /// Returns the keys directory of the coordinator that listens at one of several places; nil when
    /// there is none.
    ///
    /// - Throws: `.keys` for a registry that may belong to another user.
    package func find(_ places: [Endpoint]) throws(RunError) -> String? {
        guard !places.isEmpty, try isThere() else { return nil }
        return places.lazy.compactMap { read(file(of: $0)) }.first
    }

    /// Returns a file's content; nil when the file does not exist or its coordinator is gone.
    private func read(_ file: String) -> String? {
        let descriptor = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        guard flock(descriptor, LOCK_SH | LOCK_NB) != 0, errno == EWOULDBLOCK else { return nil }
        var bytes = [UInt8](repeating: 0, count: Self.maximumPathByteCount)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        return count > 0 ? String(decoding: bytes.prefix(count), as: UTF8.self) : nil
    }

    /// Waits for a coordinator of this user at one of several places, and reads its keys.
    ///
    /// - Parameters:
    ///   - places: Where to look.
    ///   - text: The place as the user gave it, for the error.
    ///   - limit: How long to wait.
    ///   - pause: Waits that long or less; returns true when the user wants to stop.
    /// - Throws: `.lost` when no coordinator has come within `limit`, `.interrupted` when the user
    ///   stopped, `.keys` for keys that cannot be used.
    package func keys(
        at places: [Endpoint], _ text: String, within limit: Duration, pause: (Duration) -> Bool
    ) throws(RunError) -> KeyRing {
        let deadline = SteadyClock.now + limit
        while true {
            if let directory = try find(places) { return try KeyRing(directory: directory) }
            guard SteadyClock.now < deadline else { break }
            if pause(min(Self.interval, deadline - SteadyClock.now)) {
                throw .interrupted("stopped before it joined")
            }
        }
        throw .lost(
            "--coordinator: no coordinator of user \(geteuid()) has begun to listen at \(text) "
                + "within \(limit); start it, or give --keys DIR, or --insecure, as it has it")
    }

    /// Returns whether the registry exists; throws when it may belong to another user.
    private func isThere() throws(RunError) -> Bool {
        switch PrivateDirectory.state(path) {
        case .good: return true
        case .missing: return false
        case .wrong(let found):
            throw .keys(
                "\(path), where runs on this host are found: expected a directory that user "
                    + "\(geteuid()) alone can enter, found \(found); have it removed, or give --keys "
                    + "RUN_DIR/keys")
        }
    }
}
