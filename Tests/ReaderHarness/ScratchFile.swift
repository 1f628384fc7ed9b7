import FoundationEssentials
import Glibc
import Synchronization

/// A directory of this process, in memory where the system has such a place.
///
/// The directory is removed at the end of the process, because readers live as long.
enum ScratchDirectory {
    private static let root: String = {
        let memory = "/dev/shm"
        let parent =
            access(memory, W_OK) == 0 ? memory : FileManager.default.temporaryDirectory.path
        let path = "\(parent)/convoy-readers-\(getpid())"
        atexit { _ = try? FileManager.default.removeItem(atPath: ScratchDirectory.root) }
        return path
    }()

    static func make(_ name: String) -> String {
        let path = "\(root)/\(name)"
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true)
        } catch { preconditionFailure("cannot create \(path): \(error)") }
        return path
    }
}

/// A file whose content changes with every input, for readers that take a path.
///
/// Threads: any, one at a time; ``ScratchFiles`` sees to that.
final class ScratchFile: Sendable {
    let path: String
    private let descriptor: Int32

    init(_ path: String) {
        self.path = path
        descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        precondition(descriptor >= 0, "cannot create \(path): errno \(errno)")
    }

    deinit { close(descriptor) }

    func fill(_ bytes: UnsafeRawBufferPointer) {
        precondition(ftruncate(descriptor, 0) == 0, "cannot truncate \(path): errno \(errno)")
        guard !bytes.isEmpty else { return }
        let count = pwrite(descriptor, bytes.baseAddress, bytes.count, 0)
        precondition(count == bytes.count, "cannot write \(path): errno \(errno)")
    }

    /// Gives the file another name.
    func link(_ other: String) {
        unlink(other)
        precondition(symlink(path, other) == 0, "cannot link \(other): errno \(errno)")
    }
}

/// The files of a reader, which one caller uses at a time.
final class ScratchFiles: Sendable {
    let directory: String
    private let files: [ScratchFile]
    private let lock = Mutex<Void>(())

    init(_ name: String, _ files: [String], links: [String: String] = [:]) {
        let directory = ScratchDirectory.make(name)
        self.directory = directory
        self.files = files.map { ScratchFile("\(directory)/\($0)") }
        for (name, target) in links {
            guard let file = self.files.first(where: { $0.path == "\(directory)/\(target)" }) else {
                preconditionFailure("no file \(target) to link")
            }
            file.link("\(directory)/\(name)")
        }
    }

    /// Runs `body` while the files have the given contents, in order.
    func with<Result>(
        _ contents: [UnsafeRawBufferPointer], _ body: (String) throws -> Result
    ) rethrows -> Result {
        try lock.withLock { _ in
            for (file, content) in zip(files, contents) { file.fill(content) }
            return try body(directory)
        }
    }
}
