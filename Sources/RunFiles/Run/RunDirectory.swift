import ClusterProtocol
import Glibc

/// The directory that holds everything of a run; see DESIGN, "What other tools rely on".
public struct RunDirectory: Sendable, Hashable {
    public let path: String

    /// A path without slashes behind it, so that files beside the directory can be named after it.
    public static func name(_ path: String) -> String {
        var name = path
        while name.count > 1, name.hasSuffix("/") { name.removeLast() }
        return name
    }

    public init(_ path: String) { self.path = FileSystem.absolute(path) }

    public var configuration: String { "\(path)/config.yaml" }
    public var metrics: String { "\(path)/metrics.jsonl" }
    public var ledger: String { "\(path)/ledger.jsonl" }
    public var journal: String { "\(path)/journal.jsonl" }
    public var summary: String { "\(path)/summary.json" }
    public var checkpoints: String { "\(path)/checkpoints" }
    /// Which checkpoint has the highest test accuracy.
    public var bestCheckpoint: String { "\(checkpoints)/best.json" }
    public var logs: String { "\(path)/logs" }
    /// Held by the coordinator at work.
    package var lock: String { "\(path)/lock" }
    /// Where the coordinator listens, for those who are started on this machine.
    public var endpoint: String { "\(path)/endpoint" }

    /// Keys of its own, of a run that was given none; its user alone can read them.
    public var keys: String { "\(path)/keys" }

    /// Makes a new run directory; one that holds something already is not touched.
    ///
    /// - Returns: whether there was an empty one.
    @discardableResult
    public func create() throws(Failure) -> Bool {
        let wasThere = FileSystem.exists(path)
        guard FileSystem.names(in: path).isEmpty else {
            throw .data(
                "run directory \(path) already holds something; choose another, or go on with "
                    + "--resume \(path)")
        }
        try FileSystem.makeDirectories(checkpoints)
        try FileSystem.makeDirectories(logs)
        return wasThere
    }

    /// Removes what a run that never began has made, and nothing else.
    ///
    /// - Parameter wasThere: what `create` said; the directory itself then stays.
    public func removeIfUnused(wasThere: Bool) {
        guard CheckpointStore.steps(in: checkpoints).isEmpty else { return }
        KeyFiles.remove(keys)
        FileSystem.remove(logs)
        FileSystem.remove(checkpoints)
        for file in [configuration, metrics, ledger, journal, summary, endpoint, lock] {
            for name in [file, "\(file).tmp", "\(file).next"] { unlink(name) }
        }
        if !wasThere { rmdir(path) }
    }

    /// The run directory below `parent` that changed last.
    public static func newest(in parent: String) -> String? {
        FileSystem.names(in: parent).map { "\(parent)/\($0)" }
            .filter { FileSystem.exists(RunDirectory($0).configuration) }
            .max {
                (FileSystem.modificationTime($0) ?? 0, $0) < (FileSystem.modificationTime($1) ?? 0, $1)
            }
    }

    /// Checks that there is a run to go on with.
    public func requireExisting() throws(Failure) {
        guard FileSystem.exists(configuration) else {
            throw .data("\(path) is no run directory: it has no config.yaml")
        }
    }
}
