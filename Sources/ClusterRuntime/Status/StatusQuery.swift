import ClusterProtocol
import FoundationEssentials
import RunFiles

/// Asks how a run is: its coordinator while the run goes on, its files once it has ended.
package struct StatusQuery: Sendable {
    /// What the question names.
    package enum Target: Sendable {
        /// A run directory.
        case directory(RunDirectory)
        /// The endpoint at which a coordinator listens.
        case endpoint(String)
    }

    /// The state of the run.
    package enum Answer: Sendable {
        /// The run goes on.
        case live(ClusterStatus)
        /// The run has ended.
        case finished(FinishedRun)
    }

    /// What `summary.json` says about a run that has ended.
    package struct FinishedRun: Sendable {
        /// The run directory's path.
        package var run: String
        /// The exit code of the run.
        package var exitCode: Int
        /// Why the run ended, for people.
        package var reason: String
        /// The step at which the run ended.
        package var step: Int
        /// The SHA-256 of the weights.
        package var weightsSHA256: String
        /// The share of the test records that were classified correctly, from 0 to 1; nil without test
        /// records.
        package var testAccuracy: Double?
        /// The mean number of records trained a second; nil when the summary has none.
        package var imagesPerSecond: Double?
        /// The settings that were changed during the run, as in `ClusterStatus.changes`.
        package var changes: [String] = []

        private struct Summary: Decodable {
            var steps: Int
            var exit_code: Int
            var reason: String
            var weights_sha256: String
            var test_accuracy: Double?
            var images_per_second: Double?
        }

        /// Reads `summary.json`.
        ///
        /// - Parameters:
        ///   - bytes: The file's content.
        ///   - run: The run directory's path.
        ///   - file: The file's name, which is only used in errors.
        /// - Throws: `.runDirectory` when the content is not a summary.
        package init(_ bytes: [UInt8], run: String, file: String) throws(RunError) {
            guard let summary = try? JSONDecoder().decode(Summary.self, from: Data(bytes)) else {
                throw .runDirectory("\(file): expected a run's summary, found something else")
            }
            self.run = run
            exitCode = summary.exit_code
            reason = summary.reason
            step = summary.steps
            weightsSHA256 = summary.weights_sha256
            testAccuracy = summary.test_accuracy
            imagesPerSecond = summary.images_per_second
        }
    }

    /// What the question names.
    package var target: Target
    private let transport: Transport

    /// Creates a question.
    ///
    /// - Parameters:
    ///   - target: The run.
    ///   - transport: The keys to use; without keys, those that the run has made for itself are used.
    package init(_ target: Target, _ transport: Transport = Transport()) {
        self.target = target
        self.transport = transport
    }

    /// Asks.
    ///
    /// - Throws: `.lost` when no coordinator answers within `limit`, `.runDirectory` when the
    ///   directory is not a run directory.
    package func ask(within limit: Duration) throws(RunError) -> Answer {
        switch target {
        case .endpoint(let endpoint):
            return .live(try StatusClient(endpoint, transport(to: endpoint)).ask(within: limit))
        case .directory(let directory):
            guard FileSystem.exists(directory.configuration) else {
                throw .runDirectory("\(directory.path) is no run directory: it has no config.yaml")
            }
            if let finished = try Self.finished(directory) { return .finished(finished) }
            return .live(try live(directory, within: limit))
        }
    }

    /// Returns the keys for an endpoint: the given ones, otherwise those that its coordinator has
    /// published.
    private func transport(to text: String) throws(RunError) -> Transport {
        guard transport.keys == nil, let endpoint = Endpoint(text),
            let keys = try KeyRegistry.own.find(KeyRegistry.places(of: endpoint))
        else { return transport }
        return Transport(keys: try KeyRing(directory: keys))
    }

    /// Returns the keys for a run directory: the given ones, otherwise the run's own.
    private func transport(for directory: RunDirectory) throws(RunError) -> Transport {
        if transport.keys != nil { return transport }
        return Transport(keys: try RunKeys.existing(directory))
    }

    /// Asks the coordinator that was announced in a run directory.
    private func live(
        _ directory: RunDirectory, within limit: Duration
    ) throws(RunError) -> ClusterStatus {
        guard let endpoint = JournalReader.announced(directory) else {
            throw .lost(
                "\(directory.path): no coordinator has begun to listen for this run; look into "
                    + directory.logs)
        }
        let transport = try transport(for: directory)
        let status: ClusterStatus
        do throws(RunError) {
            status = try StatusClient(endpoint, transport).ask(within: limit)
        } catch {
            // The run may have ended while the question was under way.
            throw RunError(error.kind, "\(directory.path): \(error.text)")
        }
        // A port that the system chose may belong to another run by now.
        let theirs = FileSystem.resolved(status.run)
        if let theirs, let ours = FileSystem.resolved(directory.path), theirs != ours {
            throw .lost(
                "\(directory.path): its coordinator is gone; at \(endpoint) another one answers, "
                    + "of the run \(status.run)")
        }
        return status
    }

    // MARK: After the end

    /// Returns the summary of a run that has ended; nil while the run goes on, when a summary that is
    /// older than the endpoint file belongs to an earlier part of the run.
    package static func finished(_ directory: RunDirectory) throws(RunError) -> FinishedRun? {
        guard let written = FileSystem.modificationTime(directory.summary) else { return nil }
        if let begun = FileSystem.modificationTime(directory.endpoint), begun > written {
            return nil
        }
        let bytes = try FileSystem.read(directory.summary)
        var run = try FinishedRun(bytes, run: directory.path, file: directory.summary)
        let lines = (try? JournalReader.recovery(directory))?.history.lines ?? []
        run.changes = lines.suffix(ClusterStatus.maximumChangeCount)
        return run
    }
}
