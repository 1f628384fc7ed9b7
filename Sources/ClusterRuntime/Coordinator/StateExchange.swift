import Buffers
import ClusterProtocol
import Logging
import RunFiles
import ZeroMQ

/// The coordinator's side of state transfer: gives shards the state of a checkpoint, and puts
/// together what they send of a new one.
///
/// Threading: the coordinator's socket thread.
final class StateExchange {
    private let material: RunMaterial
    private let router: SocketBox
    private var source: Checkpoint?
    /// Asks for a checkpoint to be read, which comes by `read`.
    private let readCheckpoint: (Int) -> Void
    private var arriving: [Int: Arriving] = [:]
    /// Snapshots of this step and earlier ones have been put together before.
    private var lastComplete: Int
    private var lastWanted = Int.max
    private(set) var flawCount = 0
    /// Shards that wait for a checkpoint to be read.
    private var waiting: [(BulkHeader, PeerIdentity)] = []

    private static let maximumArrivingCount = 4
    private static let maximumWaitingCount = 4096

    private struct Arriving {
        var parts: [FloatBuffer]
        var missing: Set<Int>
    }

    init(
        material: RunMaterial, router: SocketBox, start: Checkpoint,
        readCheckpoint: @escaping (Int) -> Void
    ) {
        self.material = material
        self.router = router
        self.readCheckpoint = readCheckpoint
        source = start
        lastComplete = start.step
    }

    /// Takes one message; returns a checkpoint when this was its last piece.
    ///
    /// - Parameter isMember: whether a peer may hold slices; state from anyone else is dropped.
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
            .fetchChunk:
            flawCount += 1
        }
        return nil
    }

    /// A checkpoint that is not in memory has to be read first.
    private func answer(_ request: BulkHeader, to peer: PeerIdentity) throws(ZeroMQError) {
        guard let checkpoint = source, checkpoint.step == request.step.value else {
            // Beyond the bound a shard asks again.
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
                // What does not fit is asked for again.
                _ = try router.send([Frame(peer.rawValue)] + frames)
            }
        }
    }

    /// A checkpoint that was asked for is in memory.
    func read(_ checkpoint: Checkpoint) throws(ZeroMQError) {
        source = checkpoint
        let requests = waiting
        waiting = []
        for (request, peer) in requests where request.step.value == checkpoint.step {
            try answer(request, to: peer)
        }
    }

    /// The checkpoint of a step was not written: its state is put together once more when it comes
    /// again.
    func takeAgain(step: Int) { lastComplete = min(lastComplete, step - 1) }

    /// The run goes back, and will end at `step`: state of later ones, which may still come from
    /// before, is not wanted.
    func goBack(to step: Int) {
        lastWanted = step
        arriving = arriving.filter { $0.key <= step }
        takeAgain(step: step)
    }

    /// The state is in place everywhere: it need not be kept in memory.
    func forgetSource() { source = nil }

    private func take(_ message: BulkMessage) -> Checkpoint? {
        let header = message.header
        let chunks = material.slicePlan.chunks
        guard chunks.indices.contains(header.chunk), header.part < material.partCount,
            chunks[header.chunk].shard == header.shard, header.step.value <= material.totalSteps,
            let payload = message.payload,
            message.flaw(
                expecting: .fp32, elementCount: chunks[header.chunk].range.count) == nil
        else {
            flawCount += 1
            return nil
        }
        let step = header.step.value
        guard step > lastComplete, step <= lastWanted else { return nil }
        if arriving[step] == nil {
            // Some may overlap; an older one that never became whole is given up.
            if arriving.count == Self.maximumArrivingCount, let oldest = arriving.keys.min() {
                arriving[oldest] = nil
            }
            arriving[step] = Arriving(
                parts: (0..<material.partCount).map { _ in
                    FloatBuffer(count: material.slicePlan.parameterCount)
                }, missing: Set(0..<chunks.count * material.partCount))
        }
        payload.withUnsafeBytes { bytes in
            arriving[step]?.parts[header.part].copy(
                bytes, to: chunks[header.chunk].range.lowerBound)
        }
        arriving[step]?.missing.remove(header.chunk * material.partCount + header.part)
        guard let done = arriving[step], done.missing.isEmpty else { return nil }
        arriving = arriving.filter { $0.key > step }
        lastComplete = step
        return Checkpoint(step: step, parts: done.parts)
    }
}
