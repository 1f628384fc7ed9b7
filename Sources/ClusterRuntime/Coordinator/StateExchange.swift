import Buffers
import ClusterProtocol
import Logging
import RunFiles
import ZeroMQ

/// The coordinator's side of state transfer. It sends the state of a checkpoint to shards, and
/// assembles new checkpoints from what shards send.
///
/// Threading: the coordinator's socket thread only.
final class StateExchange {
    private let material: RunMaterial
    private let router: SocketBox
    /// The checkpoint that shards are sent; nil when it is not in memory.
    private var source: Checkpoint?
    /// The frozen weights and their average, which no shard has, by the number of the part; empty
    /// where nothing is frozen.
    private let frozen: [Int: FloatBuffer]
    /// Asks for a checkpoint to be read; `read` then gets it.
    private let readCheckpoint: (Int) -> Void
    /// The snapshots that are being assembled, by step.
    private var arriving: [Int: Arriving] = [:]
    /// The last step whose snapshot has been assembled. Snapshots up to this step are not assembled
    /// again.
    private var lastComplete: Int
    /// The last step whose snapshot is wanted.
    private var lastWanted = Int.max
    /// The number of malformed or unexpected messages.
    private(set) var flawCount = 0
    /// The requests of shards that wait for a checkpoint to be read.
    private var waiting: [(BulkHeader, PeerIdentity)] = []

    /// The number of snapshots that are assembled at the same time.
    private static let maximumArrivingCount = 4
    /// The number of requests that can wait.
    private static let maximumWaitingCount = 4096

    /// A snapshot of which some pieces have arrived.
    private struct Arriving {
        /// The flat vectors, filled as far as pieces have arrived.
        var parts: [FloatBuffer]
        /// The pieces that are missing: chunk × number of parts + part.
        var missing: Set<Int>
    }

    /// Creates an exchange that has the run's first checkpoint in memory.
    ///
    /// - Parameters:
    ///   - router: the coordinator's socket for the state of shards.
    ///   - start: the checkpoint that the run begins with or goes on from.
    ///   - readCheckpoint: asks for the checkpoint of a step to be read.
    init(
        material: RunMaterial, router: SocketBox, start: Checkpoint,
        readCheckpoint: @escaping (Int) -> Void
    ) {
        self.material = material
        self.router = router
        self.readCheckpoint = readCheckpoint
        source = start
        lastComplete = start.step
        var frozen: [Int: FloatBuffer] = [:]
        for part in [0, material.averagePart].compactMap(\.self) {
            frozen[part] = start.frozen(material.network.parameters, part: part)
        }
        self.frozen = frozen
    }

    /// Takes in one message. Returns a checkpoint when this was its last missing piece, otherwise
    /// nil.
    ///
    /// - Parameter isMember: returns whether a peer may host shards. State from any other peer is
    ///   dropped.
    func receive(
        _ frames: [Frame], isMember: (PeerIdentity) -> Bool
    ) throws(ZeroMQError) -> Checkpoint? {
        guard let peer = frames.first?.peerIdentity,
            let message = try? BulkMessage(frames.dropFirst())
        else {
            flawCount += 1
            return nil
        }
        switch message.header.kind {
        case .fetch: try answer(message.header, to: peer)
        case .state:
            if isMember(peer) { return take(message) }
            flawCount += 1
        case .contribution, .weights, .unsubscribe, .inquiry, .missing, .combine, .follow,
            .fetchChunk, .squares, .fetchSquares:
            flawCount += 1
        }
        return nil
    }

    /// Answers a shard's request for state. A checkpoint that is not in memory has to be read
    /// first.
    private func answer(_ request: BulkHeader, to peer: PeerIdentity) throws(ZeroMQError) {
        guard let checkpoint = source, checkpoint.step == request.step.value else {
            // Requests beyond the limit are dropped; the shard asks again.
            if waiting.count < Self.maximumWaitingCount { waiting.append((request, peer)) }
            return readCheckpoint(request.step.value)
        }
        for chunk in material.slicePlan.chunks(of: request.shard) {
            for (part, buffer) in checkpoint.parts.enumerated() {
                var header = BulkHeader(kind: .state, step: request.step, shard: request.shard)
                header.chunk = chunk.index
                header.part = part
                header.placement = request.placement
                let frames = BulkMessage.frames(
                    header, payload: buffer.bytes(chunk.range), .fp32, owner: buffer)
                // A message that does not fit in the queue is lost, and the shard asks again.
                _ = try router.send([Frame(peer.rawValue)] + frames)
            }
        }
    }

    /// Takes a checkpoint that was read, and answers the requests that wait for it.
    func read(_ checkpoint: Checkpoint) throws(ZeroMQError) {
        source = checkpoint
        let requests = waiting
        waiting = []
        for (request, peer) in requests where request.step.value == checkpoint.step {
            try answer(request, to: peer)
        }
    }

    /// Assembles the snapshot of a step once more when its state comes again, because its
    /// checkpoint was not written.
    func takeAgain(step: Int) { lastComplete = min(lastComplete, step - 1) }

    /// Takes note that the run goes back and will end at `step`. State of later steps, which may
    /// still arrive from before, is not wanted.
    func goBack(to step: Int) {
        lastWanted = step
        arriving = arriving.filter { $0.key <= step }
        takeAgain(step: step)
    }

    /// Releases the checkpoint, because all shards have their state.
    func forgetSource() { source = nil }

    /// Takes in a piece of state. Returns the checkpoint when it was the last missing piece.
    private func take(_ message: BulkMessage) -> Checkpoint? {
        let header = message.header
        let plan = material.slicePlan
        guard plan.contains(header.chunk), header.part < material.partCount,
            plan[header.chunk].shard == header.shard, header.step.value <= material.totalSteps,
            let payload = message.payload,
            message.flaw(
                expecting: .fp32, elementCount: plan[header.chunk].range.count) == nil
        else {
            flawCount += 1
            return nil
        }
        let step = header.step.value
        guard step > lastComplete, step <= lastWanted else { return nil }
        if arriving[step] == nil {
            // Several snapshots may arrive at the same time. The oldest one is given up when there
            // are too many.
            if arriving.count == Self.maximumArrivingCount, let oldest = arriving.keys.min() {
                arriving[oldest] = nil
            }
            let layout = material.network.parameters
            let parts = (0..<material.partCount).map { _ in
                FloatBuffer(count: layout.elementCount)
            }
            for (part, values) in frozen {
                parts[part].copy(values.bytes, to: layout.frozen.lowerBound)
            }
            arriving[step] = Arriving(
                parts: parts, missing: Set(0..<plan.chunks.count * material.partCount))
        }
        payload.withUnsafeBytes { bytes in
            arriving[step]?.parts[header.part].copy(
                bytes, to: plan[header.chunk].range.lowerBound)
        }
        arriving[step]?.missing.remove(header.chunk.value * material.partCount + header.part)
        guard let done = arriving[step], done.missing.isEmpty else { return nil }
        arriving = arriving.filter { $0.key > step }
        lastComplete = step
        return Checkpoint(
            step: step, parts: done.parts, order: material.network.parameters.order)
    }
}
