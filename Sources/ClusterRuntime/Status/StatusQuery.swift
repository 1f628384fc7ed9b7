import ClusterProtocol
import FoundationEssentials
import RunFiles

/// How a run is: from its coordinator while it goes on, from its files when it has ended.
package struct StatusQuery: Sendable {
    package enum Target: Sendable {
        case directory(RunDirectory)
        case endpoint(String)
    }

    package enum Answer: Sendable {
        case live(ClusterStatus)
        case finished(FinishedRun)
    }

    /// What `summary.json` says of a run that has ended.
    package struct FinishedRun: Sendable {
        package var run: String
        package var exitCode: Int
        package var reason: String
        package var step: Int
        package var weightsSHA256: String
        package var testAccuracy: Double?
        package var imagesPerSecond: Double?
        /// Settings that were changed on the way, as `ClusterStatus.changes`.
        package var changes: [String] = []

        private struct Summary: Decodable {
            var steps: Int
            var exit_code: Int
            var reason: String
            var weights_sha256: String
            var test_accuracy: Double?
            var images_per_second: Double?
        }

        /// Reads `summary.json`; `file` is only a name for errors.
        package init(_ bytes: [UInt8], run: String, file: String) throws(Failure) {
            guard let summary = try? JSONDecoder().decode(Summary.self, from: Data(bytes)) else {
                throw .data("\(file): expected a run's summary, found something else")
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

    package var target: Target
    private let transport: Transport

    /// - Parameter transport: without keys, those are taken that the run has made for itself.
    package init(_ target: Target, _ transport: Transport = Transport()) {
        self.target = target
        self.transport = transport
    }

    /// - Throws: 69 when nobody answers within `limit`, 65 for what is no run directory.
    package func ask(within limit: Duration) throws(Failure) -> Answer {
        switch target {
        case .endpoint(let endpoint):
            return .live(try StatusClient(endpoint, transport(to: endpoint)).ask(within: limit))
        case .directory(let directory):
            guard FileSystem.exists(directory.configuration) else {
                throw .data("\(directory.path) is no run directory: it has no config.yaml")
            }
            if let finished = try Self.finished(directory) { return .finished(finished) }
            return .live(try live(directory, within: limit))
        }
    }

    private func transport(to text: String) throws(Failure) -> Transport {
        guard transport.keys == nil, let endpoint = Endpoint(text),
            let keys = try KeyRegistry.own.find(KeyRegistry.places(of: endpoint))
        else { return transport }
        return Transport(keys: try KeyRing(directory: keys))
    }

    private func transport(for directory: RunDirectory) throws(Failure) -> Transport {
        if transport.keys != nil { return transport }
        return Transport(keys: try RunKeys.existing(directory))
    }

    private func live(
        _ directory: RunDirectory, within limit: Duration
    ) throws(Failure) -> ClusterStatus {
        guard let endpoint = JournalReader.announced(directory) else {
            throw .lost(
                "\(directory.path): no coordinator has begun to listen for this run; look into "
                    + directory.logs)
        }
        let transport = try transport(for: directory)
        let status: ClusterStatus
        do throws(Failure) {
            status = try StatusClient(endpoint, transport).ask(within: limit)
        } catch {
            // The run may have ended while it was asked.
            throw .init(text: "\(directory.path): \(error.text)", exitCode: error.exitCode)
        }
        // A port of the system's choice may be another run's by now.
        let theirs = FileSystem.resolved(status.run)
        if let theirs, let ours = FileSystem.resolved(directory.path), theirs != ours {
            throw .lost(
                "\(directory.path): its coordinator is gone; at \(endpoint) another one answers, "
                    + "of the run \(status.run)")
        }
        return status
    }

    // MARK: After the end

    /// Nil while the run goes on: a summary older than the endpoint is of an earlier part of it.
    package static func finished(_ directory: RunDirectory) throws(Failure) -> FinishedRun? {
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
