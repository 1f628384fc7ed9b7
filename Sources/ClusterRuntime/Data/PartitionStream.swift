import ClusterProtocol
import Glibc
import Logging
import Partitions
import RunFiles
import Threads
import ZeroMQ

/// Brings a worker's partitions from the nearest place that has them: this host's own directory,
/// the cache on its disk, or the coordinator.
///
/// Where the cache cannot be written, partitions are fetched when they are used and stay in memory.
///
/// Threading: any thread.
final class PartitionStream: PartitionSupply {
    /// The things that a stream needs to connect to the coordinator and to log.
    struct Source: Sendable {
        var context: Context
        var transport: Transport
        var identity: PeerIdentity
        var log: Logger
    }

    /// The state that all threads share.
    struct State {
        /// The data set's catalog; nil until it is known.
        var catalog: PartitionCatalog?
        /// The coordinator's data service; nil when it has none.
        var endpoint: String?
        /// The client's thread; nil until something must be fetched.
        var client: DataClient?
        /// The objects that a thread waits for, and those that will be needed soon, each in order.
        var urgent: [DataObject] = []
        var expected: [DataObject] = []
        /// The partitions that are on this host's disk, as far as is known.
        var here: Set<PartitionReference> = []
        /// The objects that were fetched into memory and that no waiting thread has taken yet.
        var memory: [DataObject: [UInt8]] = [:]
        /// The objects that could not be fetched, and why.
        var failures: [DataObject: DataError] = [:]
        /// The partitions whose file in the own directory is missing or damaged.
        var notOwn: Set<PartitionReference> = []
        /// The number of times that each partition arrived damaged.
        var attempts: [PartitionReference: Int] = [:]
        /// The partitions that came over the network at least once.
        var fetched: Set<PartitionReference> = []
        /// Whether the log says already that a larger cache would help.
        var hasWarnedOfSize = false
        /// Whether there is a cache that can be written.
        var isDiskUsable: Bool
        var isStopped = false
    }

    /// The object to fetch next, and where to.
    struct Choice {
        let object: DataObject
        /// Whether a thread waits for the object.
        let isUrgent: Bool
        /// Whether the object goes to the cache, not to memory.
        let isOnDisk: Bool
    }

    /// The number of attempts to get a partition undamaged.
    static let maximumAttemptCount = 3

    let source: Source
    /// The data's own directory, as far as this host has it.
    let own: LocalPartitions?
    /// The cache on this host's disk; nil keeps what is fetched in memory only.
    let cache: PartitionDiskCache?
    let monitor: Monitor<State>

    /// Creates a stream. Nothing is fetched yet.
    ///
    /// - Parameters:
    ///   - endpoint: the coordinator's data service.
    ///   - own: the data's own directory, as far as this host has it.
    ///   - cache: the cache on this host's disk; nil keeps what is fetched in memory only.
    init(
        _ source: Source, endpoint: String?, own: LocalPartitions?, cache: PartitionDiskCache?
    ) {
        self.source = source
        self.own = own
        self.cache = cache
        monitor = Monitor(
            State(catalog: own?.catalog, endpoint: endpoint, isDiskUsable: cache != nil))
    }

    /// Asks at another endpoint from now on: the coordinator has moved, or another one has taken
    /// its place.
    func move(to endpoint: String) {
        let client = monitor.change { state in
            state.endpoint = endpoint
            return state.client
        }
        client?.post(.move(endpoint))
    }

    /// Ends the client's thread. Calls that wait for partitions throw an error.
    func stop() {
        let client = monitor.change { state in
            state.isStopped = true
            defer { state.client = nil }
            return state.client
        }
        client?.stop()
    }

    // MARK: Supplying

    /// Returns the data set's catalog, which is fetched from the coordinator unless it is known.
    func catalog() throws(DataError) -> PartitionCatalog {
        if let known = monitor.change({ $0.catalog }) { return known }
        let bytes = try fetch(DataObject(.catalog))
        let catalog = try PartitionCatalog.parse(bytes, from: "the coordinator's catalog")
        monitor.change { $0.catalog = catalog }
        return catalog
    }

    func partition(_ reference: PartitionReference) throws(DataError) -> SuppliedPartition {
        let sha256 = try catalog().sha256(reference)
        for _ in 0..<Self.maximumAttemptCount {
            if let loaded = ownPartition(reference) { return loaded }
            if let loaded = cachedPartition(reference, sha256) { return loaded }
            guard monitor.change({ $0.isDiskUsable }) else {
                return SuppliedPartition(
                    bytes: try fetch(DataObject(reference)), name: "\(reference)", isOnDisk: false)
            }
            try bring([reference])
        }
        throw notFound(reference)
    }

    /// The error for a partition that is never found as it was stored.
    private func notFound(_ reference: PartitionReference) -> DataError {
        DataError(
            .checksumMismatch, file: cache?.directory ?? "\(reference)", what: "\(reference)",
            expected: "to be found as it was stored", found: "something else each time",
            advice: "give a larger --cache-bytes, or check the disk")
    }

    func checked<Value>(
        _ reference: PartitionReference, _ check: (String) throws(DataError) -> Value
    ) throws(DataError) -> Value? {
        let sha256 = try catalog().sha256(reference)
        for _ in 0..<Self.maximumAttemptCount {
            if let path = ownPath(reference) {
                do throws(DataError) { return try check(path) } catch {
                    refuseOwn(reference, error)
                }
            }
            if let path = cache?.find(sha256) {
                do throws(DataError) { return try check(path) } catch {
                    // Another process may have removed the file in the meantime.
                    if access(path, F_OK) == 0 { refuseCached(reference, sha256, "\(error)") }
                }
            }
            guard monitor.change({ $0.isDiskUsable }) else { return nil }
            monitor.change { _ = $0.here.remove(reference) }
            try bring([reference])
        }
        throw notFound(reference)
    }

    func path(_ reference: PartitionReference) throws(DataError) -> String {
        let sha256 = try catalog().sha256(reference)
        if let path = ownPath(reference) { return path }
        if let path = cache?.find(sha256) { return path }
        monitor.change { _ = $0.here.remove(reference) }
        try bring([reference])
        if let path = cache?.find(sha256) { return path }
        throw DataError(
            .unreadable, file: cache?.directory ?? "\(reference)", what: "\(reference)",
            expected: "to stay in the cache while it is used", found: "nothing",
            advice: "give a larger --cache-bytes")
    }

    /// Waits until these partitions are on this host's disk. Without a disk to keep them, nothing
    /// is fetched ahead and the call returns at once.
    func bring(_ references: [PartitionReference]) throws(DataError) {
        let missing = references.filter { !isHere($0) }
        guard !missing.isEmpty, monitor.change({ $0.isDiskUsable }) else { return }
        let objects = missing.map(DataObject.init)
        try startClient()
        let client = monitor.change { state in
            state.urgent += objects.filter { !state.urgent.contains($0) }
            return state.client
        }
        client?.post(.look)
        let result = monitor.wait { state -> Result<Void, DataError>? in
            for object in objects {
                if let failure = state.failures[object] { return .failure(failure) }
            }
            if state.isStopped { return .failure(Self.stopped) }
            let isDone = missing.allSatisfy(state.here.contains) || !state.isDiskUsable
            return isDone ? .success(()) : nil
        }
        try result.get()
    }

    func has(_ references: [PartitionReference]) -> Bool { references.allSatisfy(isHere) }

    func expect(_ references: [PartitionReference]) {
        let missing = references.filter { !isHere($0) }
        guard monitor.change({ $0.isDiskUsable }) else { return }
        do throws(DataError) { if !missing.isEmpty { try startClient() } } catch { return }
        let client = monitor.change { state in
            state.expected = missing.map(DataObject.init)
            return state.client
        }
        client?.post(.look)
    }

    // MARK: What this host has

    /// Returns whether a partition is on this host's disk.
    private func isHere(_ reference: PartitionReference) -> Bool {
        if monitor.change({ $0.here.contains(reference) }) { return true }
        guard let sha256 = monitor.change({ $0.catalog?.sha256(reference) }) else { return false }
        guard ownPath(reference) != nil || cache?.find(sha256) != nil else { return false }
        monitor.change { _ = $0.here.insert(reference) }
        return true
    }

    /// Returns the path of a partition's file in the own directory; nil when the directory lacks
    /// it.
    func ownPath(_ reference: PartitionReference) -> String? {
        guard let own, !monitor.change({ $0.notOwn.contains(reference) }) else { return nil }
        return try? own.path(reference)
    }

    /// Returns a partition from the own directory; nil when its file is missing or damaged.
    private func ownPartition(_ reference: PartitionReference) -> SuppliedPartition? {
        guard let own, !monitor.change({ $0.notOwn.contains(reference) }) else { return nil }
        do throws(DataError) { return try own.load(reference) } catch {
            refuseOwn(reference, error)
            return nil
        }
    }

    /// Takes note that a partition of the own directory cannot be used.
    private func refuseOwn(_ reference: PartitionReference, _ error: DataError) {
        monitor.change { state in
            state.notOwn.insert(reference)
            state.here.remove(reference)
        }
        source.log.warning(
            "a partition of the data directory cannot be used; it is fetched",
            metadata: [LogKey.errorDetail: "\(error)"])
    }

    /// Returns a partition from the cache; nil when the cache lacks it. A damaged file is removed.
    private func cachedPartition(
        _ reference: PartitionReference, _ sha256: String
    ) -> SuppliedPartition? {
        guard let cache else { return nil }
        var detail = "nothing can be read"
        do throws(DataError) {
            guard let (bytes, found) = try cache.read(sha256) else {
                monitor.change { _ = $0.here.remove(reference) }
                return nil
            }
            if found == sha256 {
                return SuppliedPartition(
                    bytes: bytes, name: cache.path(sha256), isOnDisk: true)
            }
            detail = "expected SHA-256 \(sha256), found \(found)"
        } catch {
            detail = "\(error)"
        }
        refuseCached(reference, sha256, detail)
        return nil
    }

    /// Removes a damaged partition from the cache.
    private func refuseCached(
        _ reference: PartitionReference, _ sha256: String, _ detail: String
    ) {
        guard let cache else { return }
        cache.remove(sha256)
        monitor.change { state in
            state.here.remove(reference)
            state.fetched.remove(reference)
        }
        source.log.warning(
            "a cached partition is damaged; it is fetched again",
            metadata: [
                LogKey.path: "\(cache.path(sha256))", LogKey.partition: "\(reference)",
                LogKey.errorDetail: "\(detail)",
            ])
    }
}
