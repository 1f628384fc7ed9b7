import ClusterProtocol
import Partitions
import RunFiles
import Threads
import ZeroMQ

/// Fetching over the network. Any thread asks for objects; the client's thread fetches them.
extension PartitionStream {
    /// The error for calls that wait for partitions when the stream is stopped.
    static let stopped = DataError(
        .unreachable, file: "partitions", what: "fetching", expected: "to go on",
        found: "this process is ending")

    /// Starts the client's thread, unless it runs already.
    ///
    /// - Throws: `unreachable` when the stream is stopped, or the coordinator's data service is not
    ///   known or cannot be connected to.
    func startClient() throws(DataError) {
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
                context: source.context, transport: source.transport, identity: source.identity,
                endpoint: endpoint,
                next: { [weak self] in self?.nextFetch() },
                onFailure: { [weak self] in self?.fail($0) })
        } catch {
            throw DataError(
                .unreachable, file: endpoint, what: "the coordinator's data service",
                expected: "a connection", found: "\(error)")
        }
        // Two threads may start a client at once, or one may start it after the stop. The client
        // that is too many ends again.
        let isExtra = monitor.change { state in
            guard state.client == nil, !state.isStopped else { return true }
            state.client = client
            return false
        }
        if isExtra { client.stop() }
    }

    /// Stops the stream after its client has failed; all objects that are waited for fail.
    private func fail(_ failure: DataError) {
        monitor.change { state in
            for object in state.urgent { state.failures[object] = failure }
            state.isStopped = true
        }
    }

    /// Fetches a whole object into memory, and waits for it.
    func fetch(_ object: DataObject) throws(DataError) -> [UInt8] {
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

    /// Returns the next object to fetch: first those that a thread waits for, then those that are
    /// expected. It is called on the client's thread.
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
            // Another process of this host may have fetched it in the meantime.
            if choice.isOnDisk, ownPath(reference) != nil || cache?.find(sha256) != nil {
                monitor.change { _ = $0.here.insert(reference) }
                continue
            }
            return choice.isOnDisk
                ? diskFetch(reference, sha256: sha256, isUrgent: choice.isUrgent)
                : memoryFetch(choice.object, sha256: sha256)
        }
    }

    /// Returns a fetch that keeps the object in memory.
    ///
    /// - Parameter sha256: the SHA-256 that the bytes must have; nil for the catalog.
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

    /// Returns a fetch that writes a partition to the cache.
    ///
    /// - Parameter isUrgent: whether a thread waits for the partition. A partition that is fetched
    ///   ahead removes no file from the cache that this process needs.
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

    /// The error for a partition that is fetched ahead and does not fit beside those in use.
    private static let noRoom = DataError(
        .badSetting, file: "cache", what: "room", expected: "some to fetch ahead", found: "none")

    /// Takes note that a partition is in the cache. The first one that is fetched again causes a
    /// warning that the cache is too small.
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

    /// The names of the files in the cache that this process works with.
    private func inUse() -> Set<String> {
        monitor.change { state in
            Set(state.here.compactMap { state.catalog?.sha256($0) })
        }
    }

    /// Takes note of a fetch that failed. A disk that cannot be written is not fatal: from then on
    /// partitions are kept in memory.
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

    /// Fetches a damaged partition again, in case its bytes were damaged on their way, up to
    /// `maximumAttemptCount` times.
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
