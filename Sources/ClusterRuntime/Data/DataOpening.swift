import Buffers
import ClusterProtocol
import Glibc
import Logging
import NeuralNetwork
import Partitions
import RunFiles

/// The places where a worker looks for the run's data before it asks the coordinator.
package struct DataOptions: Sendable {
    /// Whether the data is always streamed: the worker looks for it in its cache only.
    package var isAlwaysStreamed = false
    /// The directories below which data may be opened; empty allows every directory.
    package var roots: [String] = []
    /// The directory where fetched partitions are kept; nil keeps them in memory.
    package var cacheDirectory: String?
    /// The limit on the size of the cache, in bytes.
    package var cacheByteLimit = PartitionDiskCache.defaultByteLimit
    /// The limit on partitions kept in memory, in bytes.
    package var memoryByteLimit = DataSet.defaultMemoryLimitByteCount

    /// Creates options that allow every directory and have no cache.
    package init() {}
}

/// Opens a run's data set on a worker. The data comes from this host's disk if it is there, and
/// otherwise from the coordinator, partition by partition.
struct DataOpening {
    /// The places where the worker may look for data.
    let options: DataOptions
    /// The run's settings.
    let configuration: RunConfiguration
    /// The coordinator's message that describes the run's data.
    let welcome: Welcome
    /// The connection, identity and log of streams of partitions.
    let source: PartitionStream.Source

    /// Opens the data set.
    ///
    /// - Parameter adopt: called with the stream that the data set uses, before its first use.
    /// - Throws: `.data` for data that differs from the run's, `.lost` when the coordinator's data
    ///   service cannot be reached.
    func open(_ adopt: (PartitionStream) -> Void) throws(RunError) -> DataSet {
        do throws(DataError) {
            let specification = try configuration.data.specification()
            if let local = try local(specification, adopt) { return local }
            let stream = stream(own: nil)
            adopt(stream)
            let catalog = try stream.catalog()
            source.log.info("the data is streamed from the coordinator")
            return try checked(
                DataSet.open(
                    catalog, specification: specification, supply: stream,
                    memoryLimitByteCount: options.memoryByteLimit))
        } catch {
            throw RunError(error)
        }
    }

    /// Fetches the frozen weights from the coordinator; nil where nothing is frozen.
    ///
    /// - Parameters:
    ///   - stream: the stream that the data set uses, if there is one.
    ///   - adopt: called with another stream, before its first use.
    func frozenWeights(
        _ layout: ParameterLayout, _ stream: PartitionStream?, _ adopt: (PartitionStream) -> Void
    ) throws(RunError) -> FloatBuffer? {
        if layout.frozen.isEmpty { return nil }
        let source = stream ?? self.stream(own: nil)
        if stream == nil { adopt(source) }
        do throws(DataError) {
            return try FrozenWeights.decode(
                source.fetch(DataObject(.frozen)), count: layout.frozen.count)
        } catch {
            throw RunError(error)
        }
    }

    /// Opens the data set on this host. Returns nil when the data is missing here or differs from
    /// the run's and can be streamed; the log then says why.
    private func local(
        _ specification: DataSpecification, _ adopt: (PartitionStream) -> Void
    ) throws(DataError) -> DataSet? {
        guard !options.isAlwaysStreamed else { return nil }
        do throws(DataError) {
            try requireAllowed(specification)
            guard specification.isPartitioned else {
                // What would have to be decoded first is streamed: one host decodes for all.
                let known = try DataSet.openKnown(
                    specification, partitionCount: configuration.data.partitions,
                    memoryLimitByteCount: options.memoryByteLimit, cache: DataCache.standard)
                guard let known else {
                    throw DataError(
                        .unreadable, file: "\(specification)", what: "decoded records",
                        expected: "some in this host's cache", found: "none",
                        advice: "the coordinator's host has them")
                }
                return try checked(known)
            }
            // Some of the directory's files may be missing or damaged. Those are fetched.
            let own = try LocalPartitions(path: specification.location)
            let stream = stream(own: own)
            let dataSet = try checked(
                DataSet.open(
                    own.catalog, specification: specification, supply: stream,
                    memoryLimitByteCount: options.memoryByteLimit))
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

    /// Returns a data set with the run's transformations, after checking that it equals the
    /// coordinator's.
    private func checked(_ dataSet: DataSet) throws(DataError) -> DataSet {
        let transformations = configuration.data.transformations
        let result =
            transformations.isEmpty
            ? dataSet : try dataSet.transformed(by: transformations)
        guard result.description.fingerprint == welcome.data.fingerprint,
            result.partitionRecordCounts == welcome.data.partitionRecordCounts,
            result.description.targetCount == welcome.data.targetCount
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

    /// Checks that the data lies below one of the allowed directories, symbolic links resolved.
    private func requireAllowed(_ specification: DataSpecification) throws(DataError) {
        guard !options.roots.isEmpty else { return }
        for directory in specification.places {
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
    }

    /// Returns a path with symbolic links resolved; nil when it does not exist.
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
