import ClusterProtocol
import Logging
import Partitions
import RunFiles
import Threads
import ZeroMQ

/// The loop of the data service's thread. It takes in questions and answers them, one stretch of
/// data at a time, round-robin over the workers.
///
/// Threading: the data service's thread only.
final class DataServiceLoop {
    /// The number of messages that are taken in before stretches are sent, and of stretches that
    /// are sent before messages are taken in.
    private static let batch = 64
    /// The time without questions after which the data is closed again.
    private static let idleLimit = Duration.seconds(60)

    private let gatekeeper: Gatekeeper
    private let router: SocketBox
    private let material: RunMaterial
    /// The frozen weights as they travel; nil where nothing is frozen.
    private let frozen: [UInt8]?
    private let mailbox: Mailbox<DataService.Order>
    private let log: Logger
    /// The opened data and its encoded catalog; nil while it is closed.
    private var export: (partitions: PartitionExport, catalog: [UInt8])?
    private var queue = AskQueue()
    private var lastAsked: Duration = .zero
    private var isRunning = true
    private var flaws = FlawCounter()
    /// The peers that have asked, and are in the log.
    private var known: Set<PeerIdentity> = []
    /// The objects that could not be served, and are in the log.
    private var noted: Set<DataObject> = []

    /// Creates the loop, with the data closed.
    init(
        gatekeeper: Gatekeeper, router: SocketBox, material: RunMaterial, frozen: [UInt8]?,
        mailbox: Mailbox<DataService.Order>, log: Logger
    ) {
        self.gatekeeper = gatekeeper
        self.router = router
        self.material = material
        self.frozen = frozen
        self.mailbox = mailbox
        self.log = log
    }

    /// Runs until an order to stop or a failure of the socket, then closes the sockets.
    func run(_ poll: PollBox) {
        while isRunning {
            do throws(ZeroMQError) { try turn(poll) } catch {
                log.error("data service failed", metadata: [LogKey.errorDetail: "\(error)"])
                isRunning = false
            }
        }
        gatekeeper.close()
    }

    private func turn(_ poll: PollBox) throws(ZeroMQError) {
        let result = try poll.wait(
            for: [router.pollItem] + gatekeeper.pollItems, timeout: queue.isEmpty ? .seconds(1) : .zero)
        try gatekeeper.attend()
        if result.wasWoken, !mailbox.takeAll().isEmpty { isRunning = false }
        if result.isReady(0) {
            for _ in 0..<Self.batch {
                guard let frames = try router.receive() else { break }
                take(frames)
            }
        }
        for _ in 0..<Self.batch {
            guard isRunning, let (ask, peer) = queue.next() else { break }
            // An answer that does not fit in the queue is lost, and the worker asks again.
            _ = try router.send([Frame(peer.rawValue)] + answer(ask))
        }
        if export != nil, SteadyClock.now - lastAsked > Self.idleLimit { export = nil }
    }

    private func take(_ frames: [Frame]) {
        let peer = frames.first?.peerIdentity
        guard let peer, let message = DataMessage(frames.dropFirst()),
            message.header.kind == .ask, message.payload == nil,
            message.header.askedByteCount > 0
        else {
            if flaws.isFirst(from: peer, at: frames.last?.peerAddress) {
                log.warning("dropped a malformed data message")
            }
            return
        }
        lastAsked = SteadyClock.now
        if known.count < AskQueue.maximumPeerCount, known.insert(peer).inserted {
            log.info("partitions are streamed", metadata: [LogKey.peerID: "\(peer)"])
        }
        queue.add(message.header, from: peer)
    }

    // MARK: Answers

    /// Returns the answer to a question: the stretch, or the reason why it is not available.
    private func answer(_ ask: DataHeader) -> [Frame] {
        do throws(DataError) {
            let (payload, total) = try stretch(ask)
            return DataMessage.frames(
                DataHeader(.piece, ask.object, offset: ask.offset, totalByteCount: total),
                payload: payload)
        } catch {
            if noted.count < 1024, noted.insert(ask.object).inserted {
                log.error(
                    "cannot serve a partition",
                    metadata: [
                        LogKey.partition: "\(ask.object.name)", LogKey.errorDetail: "\(error)",
                    ])
            }
            return DataMessage.frames(
                DataHeader(.unavailable, ask.object, offset: ask.offset),
                payload: Array("\(error)".utf8.prefix(4096)))
        }
    }

    /// Returns the bytes that a question asks for, as far as the object has them, and the object's
    /// length.
    private func stretch(_ ask: DataHeader) throws(DataError) -> (payload: [UInt8], total: Int) {
        func part(of object: [UInt8]) -> (payload: [UInt8], total: Int) {
            let end = min(object.count, ask.offset + ask.askedByteCount)
            return (Array(object[min(ask.offset, end)..<end]), object.count)
        }
        if ask.object.kind == .frozen {
            guard let frozen else {
                throw DataError(
                    .badSetting, file: "the run", what: "frozen weights", expected: "some",
                    found: "none")
            }
            return part(of: frozen)
        }
        let (partitions, catalog) = try opened()
        guard let reference = ask.object.reference else { return part(of: catalog) }
        guard partitions.catalog.contains(reference) else {
            throw DataError(
                .badSetting, file: "\(reference)", what: "number of a partition",
                expected: "one of the run's", found: "\(reference.index)")
        }
        let total = try partitions.byteCount(reference)
        let end = min(total, ask.offset + ask.askedByteCount)
        return (try partitions.bytes(reference, min(ask.offset, end)..<end), total)
    }

    /// Opens the data when it is first asked for.
    ///
    /// - Throws: `checksumMismatch` when the data is no longer what the run began with.
    private func opened() throws(DataError) -> (partitions: PartitionExport, catalog: [UInt8]) {
        if let export { return export }
        let data = material.configuration.data
        let partitions = try PartitionExport(
            data.specification(), partitionCount: data.partitions)
        let found = try partitions.catalog.description.transformed(by: data.transformations)
        guard found.fingerprint == material.data.fingerprint else {
            throw DataError(
                .checksumMismatch, file: data.source, what: "fingerprint of the data set",
                expected: "\(material.data.fingerprint), as when the run began",
                found: found.fingerprint, advice: "restore the files")
        }
        let opened = (partitions, partitions.catalog.json)
        export = opened
        return opened
    }
}

extension DataObject {
    /// The object's name in messages to people.
    var name: String {
        if kind == .frozen { return "the frozen weights" }
        return reference.map { "\($0)" } ?? "the catalog of partitions"
    }
}
