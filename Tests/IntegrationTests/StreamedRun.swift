import ClusterRuntime
import FoundationEssentials
import RunFiles
import TestSupport
import Testing

/// A coordinator, a server and workers started by hand, so that workers can be made to lack data.
final class StreamedRun {
    let records: RunRecords
    let endpoint: String
    private let directory: TemporaryDirectory
    private let name: String
    private let file: String
    private(set) var coordinator: Command
    private(set) var workers: [Command] = []
    private var server: Command
    private var coordinatorCount = 1

    init(
        _ configuration: RunConfiguration, in directory: TemporaryDirectory, _ name: String,
        environment: [String: String] = [:]
    ) throws {
        self.directory = directory
        self.name = name
        file = try directory.write(configuration.yaml, "\(name).yaml")
        records = RunRecords("\(directory.path)/\(name)")
        endpoint = "tcp://127.0.0.1:\(try TCP.freePort())"
        let logs = "\(directory.path)/\(name)"
        coordinator = try Command([
            "coordinator", "--config", file, "--run-dir", records.directory.path,
            "--listen", endpoint, "--log-file", "\(logs)-coordinator-1.jsonl",
        ], environment: environment)
        server = try Command([
            "server", "--coordinator", endpoint, "--log-file", "\(logs)-server.jsonl",
        ])
        try eventually("the coordinator listens") { records.endpoint != nil }
    }

    /// Starts a worker.
    ///
    /// - Parameter shell: commands that run before the worker, in their own mount namespace.
    func startWorker(
        _ flags: [String], shell: String? = nil, environment: [String: String] = [:]
    ) throws {
        let log = "\(directory.path)/\(name)-worker-\(workers.count).jsonl"
        workers.append(
            try Command(
                ["worker", "--coordinator", endpoint, "--log-file", log] + flags, shell: shell,
                environment: environment))
    }

    /// Starts a successor of the killed coordinator.
    func replaceCoordinator() throws {
        coordinatorCount += 1
        coordinator = try Command([
            "coordinator", "--resume", "--run-dir", records.directory.path, "--listen", endpoint,
            "--log-file", "\(directory.path)/\(name)-coordinator-\(coordinatorCount).jsonl",
        ])
    }

    /// Requires that all processes end well; returns `weights_sha256`.
    func weights(sourceLocation: SourceLocation = #_sourceLocation) throws -> String {
        for command in workers + [server, coordinator] {
            let result = command.finish()
            try #require(
                result.exitCode == 0, "\(result)\n\(logText)", sourceLocation: sourceLocation)
        }
        return try records.summary().weights_sha256
    }

    /// The log of a coordinator (counted from 1) or a worker (counted from 0), as text.
    func log(_ role: String, _ index: Int) -> String {
        let path = "\(directory.path)/\(name)-\(role)-\(index).jsonl"
        return String(decoding: (try? FileSystem.read(path)) ?? [], as: UTF8.self)
    }

    private var logText: String {
        workers.indices.map { log("worker", $0) }.joined() + log("coordinator", 1)
    }
}
