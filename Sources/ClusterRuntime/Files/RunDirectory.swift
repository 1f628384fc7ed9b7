import ClusterProtocol

/// The directory that holds everything of a run; see DESIGN, "What other tools rely on".
public struct RunDirectory: Sendable, Hashable {
    public let path: String

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
    /// Where the coordinator listens, for those who are started on this machine.
    public var endpoint: String { "\(path)/endpoint" }

    /// Makes a new run directory; one that holds something already is not touched.
    public func create() throws(Failure) {
        guard FileSystem.names(in: path).isEmpty else {
            throw .data(
                "run directory \(path) already holds something; choose another, or go on with "
                    + "--resume \(path)")
        }
        try FileSystem.makeDirectories(checkpoints)
        try FileSystem.makeDirectories(logs)
    }

    /// Removes what `create` made, if no run has begun in it.
    public func removeIfUnused() {
        guard CheckpointStore.steps(in: checkpoints).isEmpty else { return }
        FileSystem.remove(logs)
        FileSystem.remove(checkpoints)
        FileSystem.remove(path)
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
