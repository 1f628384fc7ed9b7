import ClusterProtocol
import Glibc

/// Whether a coordinator is still its run's: asked before each write.
///
/// A coordinator that hung may wake up after another has taken its place. The lock is a file; whoever
/// takes a run over from a process that cannot be ended puts a new file in its place. Then the former
/// one finds another file under the name, and must not write any more.
package struct RunFence: Sendable {
    private let path: String
    private let device: dev_t
    private let inode: ino_t

    /// - Parameter descriptor: the lock file, open.
    package init(_ descriptor: Int32, path: String) throws(Failure) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw FileSystem.failure("look at", path) }
        self.path = path
        device = status.st_dev
        inode = status.st_ino
    }

    /// Where there is no lock file any more, somebody has removed the run directory, and nobody has
    /// taken it over.
    package var isHeld: Bool {
        var status = stat()
        guard stat(path, &status) == 0 else { return true }
        return status.st_dev == device && status.st_ino == inode
    }

    /// - Throws: 69 when another coordinator has taken the run over.
    package func requireHeld() throws(Failure) {
        guard !isHeld else { return }
        throw .lost(
            "another coordinator has taken this run over (\(path) is not this process's any more); "
                + "this one has written nothing since and leaves")
    }
}
