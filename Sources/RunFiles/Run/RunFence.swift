import ClusterProtocol
import Glibc

/// Tells whether a coordinator still owns its run. The coordinator asks before each write.
///
/// A coordinator that hung may wake up after another coordinator has taken its place. The lock is a
/// file. A coordinator that takes a run over from a process that cannot be ended puts a new file in
/// its place. The former coordinator then finds another file under the name, and must not write any
/// more.
package struct RunFence: Sendable {
    private let path: String
    private let device: dev_t
    private let inode: ino_t

    /// Creates a fence for the coordinator that holds the lock file.
    ///
    /// - Parameters:
    ///   - descriptor: the open lock file.
    ///   - path: the path of the lock file.
    package init(_ descriptor: Int32, path: String) throws(RunError) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw FileSystem.failure("look at", path) }
        self.path = path
        device = status.st_dev
        inode = status.st_ino
    }

    /// Whether this coordinator still owns the run.
    ///
    /// It is true when there is no lock file: then the run directory was removed, and no other
    /// coordinator has taken the run over.
    package var isHeld: Bool {
        var status = stat()
        guard stat(path, &status) == 0 else { return true }
        return status.st_dev == device && status.st_ino == inode
    }

    /// Checks that this coordinator still owns the run.
    ///
    /// - Throws: `.lost` when another coordinator has taken the run over.
    package func requireHeld() throws(RunError) {
        guard !isHeld else { return }
        throw .lost(
            "another coordinator has taken this run over (\(path) is not this process's any more); "
                + "this one has written nothing since and leaves")
    }
}
