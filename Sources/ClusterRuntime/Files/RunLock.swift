import ClusterProtocol

#if canImport(Glibc)
    import Glibc
#endif

/// Keeps two coordinators from working on one run directory; the kernel releases it with the process.
final class RunLock {
    private let descriptor: Int32

    init(_ directory: RunDirectory) throws(Failure) {
        let path = "\(directory.path)/lock"
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw FileSystem.failure("open", path) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw .data(
                "run directory \(directory.path): another coordinator is at work on it; wait for its "
                    + "end, or stop it")
        }
    }

    deinit { close(descriptor) }
}
