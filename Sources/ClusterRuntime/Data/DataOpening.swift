import ClusterProtocol
import Glibc
import Logging
import Partitions
import RunFiles

/// Where a worker looks for the run's data before it asks the coordinator.
package struct DataOptions: Sendable {
    /// Look at nothing but the cache.
    package var isAlwaysStreamed = false
    /// Data is opened below these directories only; empty means anywhere.
    package var roots: [String] = []
    /// Where fetched partitions are kept; nil keeps them in memory.
    package var cacheDirectory: String?
    package var cacheByteLimit = PartitionDiskCache.defaultByteLimit

    package init() {}
}

/// Opens a run's data set on a worker: from this host's disk where it is, or else from the
/// coordinator, partition by partition.
struct DataOpening {
    let options: DataOptions
    let configuration: RunConfiguration
    let welcome: Welcome
    let source: PartitionStream.Source

    /// - Parameter adopt: told of the stream that the data set will use, before it is used.
    func open(_ adopt: (PartitionStream) -> Void) throws(Failure) -> DataSet {
        do throws(DataError) {
            let specification = try DataSpecification(configuration.data.source)
            if let local = try local(specification, adopt) { return local }
            let stream = stream(own: nil)
            adopt(stream)
            let catalog = try stream.catalog()
            source.log.info("the data is streamed from the coordinator")
            return try checked(
                DataSet.open(catalog, specification: specification, supply: stream))
        } catch {
            throw Failure(error)
        }
    }

    /// Nil when the data is not here, or is not the run's; why is said in the log.
    private func local(
        _ specification: DataSpecification, _ adopt: (PartitionStream) -> Void
    ) throws(DataError) -> DataSet? {
        guard !options.isAlwaysStreamed else { return nil }
        do throws(DataError) {
            try requireAllowed(specification)
            guard case .partitions(let path) = specification else {
                return try checked(
                    DataSet.open(
                        specification, partitionCount: configuration.data.partitions))
            }
            // Some of its files may be missing or damaged: those are fetched.
            let own = try LocalPartitions(path: path)
            let stream = stream(own: own)
            let dataSet = try checked(
                DataSet.open(own.catalog, specification: specification, supply: stream))
            adopt(stream)
            return dataSet
        } catch {
            guard welcome.dataEndpoint != nil else { throw error }
            source.log.warning(
                "the data is not on this host as the run has it; it is streamed",
                metadata: [LogKey.errorDetail: "\(error)"])
            return nil
        }
    }

    /// The data behind the run's transformations, if it is what the coordinator has.
    private func checked(_ dataSet: DataSet) throws(DataError) -> DataSet {
        let transformations = configuration.data.transformations
        let result =
            transformations.isEmpty
            ? dataSet : try dataSet.transformed(by: transformations)
        guard result.description.fingerprint == welcome.data.fingerprint,
            result.partitionRecordCounts == welcome.data.partitionRecordCounts
        else {
            throw DataError(
                .checksumMismatch, file: configuration.data.source,
                what: "fingerprint of the data set",
                expected: "the run's \(welcome.data.fingerprint)",
                found: result.description.fingerprint,
                advice: "copy the coordinator's data to this host")
        }
        return result
    }

    private func requireAllowed(_ specification: DataSpecification) throws(DataError) {
        guard !options.roots.isEmpty, let directory = specification.directory else { return }
        let path = resolved(directory)
        let isBelow = options.roots.contains { root in
            guard let path, let root = resolved(root) else { return false }
            return path == root || path.hasPrefix(root == "/" ? root : root + "/")
        }
        guard isBelow else {
            throw DataError(
                .forbiddenPath, file: directory, what: "place of the data",
                expected: "a directory below \(options.roots.joined(separator: " or "))",
                found: path ?? "none")
        }
    }

    private func resolved(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    private func stream(own: LocalPartitions?) -> PartitionStream {
        PartitionStream(source, endpoint: welcome.dataEndpoint, own: own, cache: cache())
    }

    private func cache() -> PartitionDiskCache? {
        guard let directory = options.cacheDirectory else { return nil }
        do throws(DataError) {
            return try PartitionDiskCache(
                directory: directory, byteLimit: options.cacheByteLimit)
        } catch {
            source.log.warning(
                "there is no cache; fetched partitions are kept in memory",
                metadata: [LogKey.errorDetail: "\(error)"])
            return nil
        }
    }
}

extension Failure {
    /// Trouble with data: bad data, or nobody there to send it.
    init(_ error: DataError) {
        self = error.kind == .unreachable ? .lost("\(error)") : .data("\(error)")
    }
}
