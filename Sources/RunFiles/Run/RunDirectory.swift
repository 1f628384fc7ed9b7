import ClusterProtocol
import Glibc

/// The directory that holds all files of a run. Tools rely on the names in it.
public struct RunDirectory: Sendable, Hashable {
    /// The absolute path of the directory.
    public let path: String

    /// Returns a path without slashes at its end, so that files beside the directory can be named
    /// after it.
    public static func name(_ path: String) -> String {
        var name = path
        while name.count > 1, name.hasSuffix("/") { name.removeLast() }
        return name
    }

    /// Creates a value for the directory at `path`, which may be relative. Nothing is created on
    /// disk.
    public init(_ path: String) { self.path = FileSystem.absolute(path) }

    /// The format of the directory, and the build that wrote to it last.
    public var format: String { "\(path)/format.json" }
    /// The run file with every setting written out.
    public var configuration: String { "\(path)/config.yaml" }
    /// The metrics: one JSON line for each step and each epoch.
    public var metrics: String { "\(path)/metrics.jsonl" }
    /// The ledger: one JSON line for each step, with the digest of its records.
    public var ledger: String { "\(path)/ledger.jsonl" }
    /// The coordinator's journal: one JSON line for each event that a successor must know.
    public var journal: String { "\(path)/journal.jsonl" }
    /// The summary of a run that has ended.
    public var summary: String { "\(path)/summary.json" }
    /// The directory of the checkpoints.
    public var checkpoints: String { "\(path)/checkpoints" }
    /// The file that names the checkpoint with the highest test accuracy.
    public var bestCheckpoint: String { "\(checkpoints)/best.json" }
    /// The directory of the processes' logs.
    public var logs: String { "\(path)/logs" }
    /// The lock file, which the coordinator at work holds.
    package var lock: String { "\(path)/lock" }
    /// The file with the coordinator's endpoints, for the processes that are started on this
    /// machine.
    public var endpoint: String { "\(path)/endpoint" }

    /// The keys directory of a run that was given no keys. Only the run's user can read it.
    public var keys: String { "\(path)/keys" }

    /// Creates a new run directory. A directory that holds something already is not touched.
    ///
    /// - Returns: whether an empty directory existed before.
    /// - Throws: `.runDirectory` when the directory is not empty, `.storage` when it cannot be
    ///   created.
    @discardableResult
    public func create() throws(RunError) -> Bool {
        let wasThere = FileSystem.exists(path)
        guard FileSystem.names(in: path).isEmpty else {
            throw .runDirectory(
                "run directory \(path) already holds something; choose another, or go on with "
                    + "--resume \(path)")
        }
        try FileSystem.makeDirectories(checkpoints)
        try FileSystem.makeDirectories(logs)
        return wasThere
    }

    /// Removes the files of a run that never began, and nothing else.
    ///
    /// A directory with a checkpoint is not touched.
    ///
    /// - Parameter wasThere: the result of ``create()``. If it is true, the directory itself stays.
    public func removeIfUnused(wasThere: Bool) {
        guard CheckpointStore.steps(in: checkpoints).isEmpty else { return }
        KeyFiles.remove(keys)
        FileSystem.remove(logs)
        FileSystem.remove(checkpoints)
        for file in [format, configuration, metrics, ledger, journal, summary, endpoint, lock] {
            for name in [file, "\(file).tmp", "\(file).next"] { unlink(name) }
        }
        if !wasThere { rmdir(path) }
    }

    /// Returns the run directory below `parent` that changed last, or nil when there is no run
    /// directory.
    public static func newest(in parent: String) -> String? {
        FileSystem.names(in: parent).map { "\(parent)/\($0)" }
            .filter { FileSystem.exists(RunDirectory($0).configuration) }
            .max {
                (FileSystem.modificationTime($0) ?? 0, $0) < (FileSystem.modificationTime($1) ?? 0, $1)
            }
    }

    /// Checks that the directory holds a run that this build can read.
    ///
    /// - Throws: `.runDirectory` when it has no `config.yaml`, or when its format is newer than
    ///   this build's.
    public func requireExisting() throws(RunError) {
        guard FileSystem.exists(configuration) else {
            throw .runDirectory("\(path) is no run directory: it has no config.yaml")
        }
        _ = try RunFormat.read(self)
    }
}
