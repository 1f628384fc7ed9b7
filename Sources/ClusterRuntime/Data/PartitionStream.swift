import ClusterProtocol
import Logging
import Partitions
import RunFiles
import Threads
import ZeroMQ

/// A worker's partitions, each from the nearest place that has it: this host's own directory, the
/// cache on its disk, the coordinator.
///
/// Where the cache cannot be written, partitions are fetched when they are used and stay in memory.
///
/// Threading: any thread.
final class PartitionStream: PartitionSupply {
    struct Source: Sendable {
        var context: Context
        var transport: Transport
        var identity: PeerIdentity
        var log: Logger
    }

    struct State {
        var catalog: PartitionCatalog?
        var endpoint: String?
        var client: DataClient?
        /// Waited for, and wanted soon, each in order.
        var urgent: [DataObject] = []
        var expected: [DataObject] = []
        /// On this host's disk, as far as is known.
        var here: Set<PartitionReference> = []
        /// Fetched for whoever waits.
        var memory: [DataObject: [UInt8]] = [:]
        var failures: [DataObject: DataError] = [:]
        /// Files of the own directory that are missing or not what they should be.
        var notOwn: Set<PartitionReference> = []
        var attempts: [PartitionReference: Int] = [:]
        /// Came over the network, once at least.
        var fetched: Set<PartitionReference> = []
        var hasWarnedOfSize = false
        var isDiskUsable: Bool
        var isStopped = false
    }

    struct Choice {
        let object: DataObject
        let isUrgent: Bool
        let isOnDisk: Bool
    }

    static let maximumAttemptCount = 3

    let source: Source
    let own: LocalPartitions?
    let cache: PartitionDiskCache?
    let monitor: Monitor<State>

    /// - Parameters:
    ///   - endpoint: the coordinator's data service.
    ///   - own: the data's own directory, as far as this host has it.
    ///   - cache: nil keeps what is fetched in memory alone.
    init(
        _ source: Source, endpoint: String?, own: LocalPartitions?, cache: PartitionDiskCache?
    ) {
        self.source = source
        self.own = own
        self.cache = cache
        monitor = Monitor(
            State(catalog: own?.catalog, endpoint: endpoint, isDiskUsable: cache != nil))
    }

    /// The coordinator has moved, or another has taken its place.
    func move(to endpoint: String) {
        let client = monitor.change { state in
            state.endpoint = endpoint
            return state.client
        }
        client?.post(.move(endpoint))
    }

    /// Ends its thread; whoever waits gets an error.
    func stop() {
        let client = monitor.change { state in
            state.isStopped = true
            defer { state.client = nil }
            return state.client
        }
        client?.stop()
    }

    // MARK: Supplying

    /// The data set's catalog, from the coordinator unless it is known.
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
        throw DataError(
            .checksumMismatch, file: cache?.directory ?? "\(reference)", what: "\(reference)",
            expected: "to be found as it was stored", found: "something else each time",
            advice: "give a larger --cache-bytes, or check the disk")
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

    /// Without a disk to keep them nothing is fetched ahead.
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

    private func isHere(_ reference: PartitionReference) -> Bool {
        if monitor.change({ $0.here.contains(reference) }) { return true }
        guard let sha256 = monitor.change({ $0.catalog?.sha256(reference) }) else { return false }
        guard ownPath(reference) != nil || cache?.find(sha256) != nil else { return false }
        monitor.change { _ = $0.here.insert(reference) }
        return true
    }

    func ownPath(_ reference: PartitionReference) -> String? {
        guard let own, !monitor.change({ $0.notOwn.contains(reference) }) else { return nil }
        return try? own.path(reference)
    }

    private func ownPartition(_ reference: PartitionReference) -> SuppliedPartition? {
        guard let own, !monitor.change({ $0.notOwn.contains(reference) }) else { return nil }
        do throws(DataError) { return try own.load(reference) } catch {
            monitor.change { state in
                state.notOwn.insert(reference)
                state.here.remove(reference)
            }
            source.log.warning(
                "a partition of the data directory cannot be used; it is fetched",
                metadata: [LogKey.errorDetail: "\(error)"])
            return nil
        }
    }

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
        return nil
    }
}
