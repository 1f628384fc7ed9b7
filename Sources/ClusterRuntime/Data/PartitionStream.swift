import ClusterProtocol
import Logging
import Partitions
import Threads
import ZeroMQ

/// A worker's partitions, each from the nearest place that has it: this host's own directory, the
/// cache on this host's disk, the coordinator.
///
/// Where the cache cannot be written, partitions are fetched when they are used, and stay in memory.
///
/// Threading: any thread.
final class PartitionStream: PartitionSupply {
    struct Source: Sendable {
        var context: Context
        var identity: PeerIdentity
        var log: Logger
    }

    private struct State {
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

    private struct Choice {
        let object: DataObject
        let isUrgent: Bool
        let isOnDisk: Bool
    }

    private static let maximumAttemptCount = 3

    private let source: Source
    private let own: LocalPartitions?
    private let cache: PartitionDiskCache?
    private let monitor: Monitor<State>

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

    private func ownPath(_ reference: PartitionReference) -> String? {
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

    // MARK: Fetching

    private static let stopped = DataError(
        .unreachable, file: "partitions", what: "fetching", expected: "to go on",
        found: "this process is ending")

    private func startClient() throws(DataError) {
        let endpoint: String? = try monitor.change { state -> Result<String?, DataError> in
            if state.isStopped { return .failure(Self.stopped) }
            return .success(state.client == nil ? state.endpoint ?? "" : nil)
        }.get()
        guard let endpoint else { return }
        guard !endpoint.isEmpty else {
            throw DataError(
                .unreachable, file: "the coordinator", what: "its data service",
                expected: "an endpoint in its welcome", found: "none")
        }
        let client: DataClient
        do throws(ZeroMQError) {
            client = try DataClient(
                context: source.context, identity: source.identity, endpoint: endpoint,
                next: { [weak self] in self?.nextFetch() },
                onFailure: { [weak self] in self?.fail($0) })
        } catch {
            throw DataError(
                .unreachable, file: endpoint, what: "the coordinator's data service",
                expected: "a connection", found: "\(error)")
        }
        // Of two who start one at once, or after the end, one is too many.
        let isExtra = monitor.change { state in
            guard state.client == nil, !state.isStopped else { return true }
            state.client = client
            return false
        }
        if isExtra { client.stop() }
    }

    private func fail(_ failure: DataError) {
        monitor.change { state in
            for object in state.urgent { state.failures[object] = failure }
            state.isStopped = true
        }
    }

    /// A whole object into memory; waits for it.
    private func fetch(_ object: DataObject) throws(DataError) -> [UInt8] {
        try startClient()
        let client = monitor.change { state in
            if !state.urgent.contains(object) { state.urgent.append(object) }
            return state.client
        }
        client?.post(.look)
        return try monitor.wait { state -> Result<[UInt8], DataError>? in
            if let failure = state.failures[object] { return .failure(failure) }
            if state.isStopped { return .failure(Self.stopped) }
            return state.memory.removeValue(forKey: object).map { .success($0) }
        }.get()
    }

    /// What to fetch next, on the client's thread: what is waited for, then what is expected.
    private func nextFetch() -> DataFetch? {
        while true {
            let choice = monitor.change { state -> Choice? in
                guard !state.isStopped else { return nil }
                if !state.isDiskUsable { state.expected = [] }
                let object: DataObject
                let isUrgent = !state.urgent.isEmpty
                if isUrgent {
                    object = state.urgent.removeFirst()
                } else if !state.expected.isEmpty {
                    object = state.expected.removeFirst()
                } else {
                    return nil
                }
                return Choice(
                    object: object, isUrgent: isUrgent,
                    isOnDisk: state.isDiskUsable && object.kind != .catalog)
            }
            guard let choice else { return nil }
            guard let reference = choice.object.reference else {
                return memoryFetch(choice.object, sha256: nil)
            }
            guard let sha256 = monitor.change({ $0.catalog?.sha256(reference) }) else { continue }
            // Another process of this host may have brought it meanwhile.
            if choice.isOnDisk, ownPath(reference) != nil || cache?.find(sha256) != nil {
                monitor.change { _ = $0.here.insert(reference) }
                continue
            }
            return choice.isOnDisk
                ? diskFetch(reference, sha256: sha256, isUrgent: choice.isUrgent)
                : memoryFetch(choice.object, sha256: sha256)
        }
    }

    private func memoryFetch(_ object: DataObject, sha256: String?) -> DataFetch {
        var bytes: [UInt8] = []
        return DataFetch(object) { (piece, total) throws(DataError) in
            if bytes.isEmpty { bytes.reserveCapacity(total) }
            bytes += piece
        } end: { [self] failure in
            var failure = failure
            if failure == nil, let sha256 {
                let found = HostFacts.sha256(bytes)
                if found != sha256 { failure = self.mismatch(object, sha256, found) }
            }
            monitor.change { state in
                if let failure {
                    state.failures[object] = failure
                } else {
                    state.memory[object] = bytes
                }
            }
        }
    }

    /// - Parameter isUrgent: somebody waits; what is fetched ahead takes no other's place that this
    ///   process needs.
    private func diskFetch(
        _ reference: PartitionReference, sha256: String, isUrgent: Bool
    ) -> DataFetch {
        var draft: PartitionDraft?
        return DataFetch(DataObject(reference)) { [self] (piece, total) throws(DataError) in
            if draft == nil {
                let spared = isUrgent ? [] : inUse()
                draft = try cache?.begin(sha256, byteCount: total, sparing: spared)
            }
            guard let draft else { throw Self.noRoom }
            try draft.append(piece)
        } end: { [self] failure in
            guard failure == nil, let finished = draft.take() else {
                draft = nil
                return unfinished(reference, failure)
            }
            do throws(DataError) {
                let found = try finished.finish()
                guard found == sha256 else { return wrong(reference, sha256, found) }
                source.log.info(
                    "fetched a partition", metadata: [LogKey.partition: "\(reference)"])
                arrived(reference)
            } catch {
                unfinished(reference, error)
            }
        }
    }

    private static let noRoom = DataError(
        .badSetting, file: "cache", what: "room", expected: "some to fetch ahead", found: "none")

    private func arrived(_ reference: PartitionReference) {
        let isRepeated = monitor.change { state in
            state.here.insert(reference)
            let isFirst = state.fetched.insert(reference).inserted
            guard !isFirst, !state.hasWarnedOfSize else { return false }
            state.hasWarnedOfSize = true
            return true
        }
        guard isRepeated else { return }
        source.log.warning(
            "fetched a partition again; a larger cache would have kept it",
            metadata: [LogKey.partition: "\(reference)"])
    }

    /// Names of the files in the cache that this process works with.
    private func inUse() -> Set<String> {
        monitor.change { state in
            Set(state.here.compactMap { state.catalog?.sha256($0) })
        }
    }

    /// A disk that cannot be written is not the end: partitions are kept in memory from then on.
    private func unfinished(_ reference: PartitionReference, _ failure: DataError?) {
        let object = DataObject(reference)
        if failure == Self.noRoom { return monitor.change { $0.expected = [] } }
        guard let failure, failure.kind == .unwritable else {
            return monitor.change { $0.failures[object] = failure ?? Self.stopped }
        }
        source.log.warning(
            "the cache cannot be written; partitions are kept in memory",
            metadata: [LogKey.errorDetail: "\(failure)"])
        monitor.change { $0.isDiskUsable = false }
    }

    /// Once more, in case the bytes were damaged on their way.
    private func wrong(_ reference: PartitionReference, _ expected: String, _ found: String) {
        let object = DataObject(reference)
        let failure = mismatch(object, expected, found)
        source.log.warning(
            "a fetched partition is damaged", metadata: [LogKey.errorDetail: "\(failure)"])
        monitor.change { state in
            state.attempts[reference, default: 0] += 1
            if state.attempts[reference, default: 0] < Self.maximumAttemptCount {
                state.urgent.insert(object, at: 0)
            } else {
                state.failures[object] = failure
            }
        }
    }

    private func mismatch(_ object: DataObject, _ expected: String, _ found: String) -> DataError {
        DataError(
            .checksumMismatch, file: object.name, what: "SHA-256 of what the coordinator sent",
            expected: expected, found: found, advice: "check the coordinator's files")
    }
}
