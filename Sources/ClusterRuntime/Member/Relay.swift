import ClusterProtocol
import RunFiles
import Threads
import ZeroMQ

/// Carries out what a worker's `RelayMachine` decides: it holds the sums of neighbours, and the
/// weights that are handed on.
///
/// Threading: the shard service's thread only.
final class Relay {
    private var machine: RelayMachine
    private let plan: SlicePlan
    private let wire: WirePlan
    private let memory: ChunkMemory
    private let router: SocketBox
    /// Receives sums for their shard.
    private let passOn: @Sendable (BulkHeader, Payload) -> Void
    private var sums: [RelayMachine.Slot: TreeSums<Payload>] = [:]
    /// The weights of each chunk that others may want.
    private var weights: [ChunkIndex: Payload] = [:]

    /// Creates a relay without sums and weights.
    ///
    /// - Parameters:
    ///   - material: the run.
    ///   - router: the socket that neighbours are connected to.
    ///   - passOn: receives sums for their shard.
    init(
        _ material: RunMaterial, router: SocketBox,
        passOn: @escaping @Sendable (BulkHeader, Payload) -> Void
    ) {
        machine = RelayMachine(tree: material.tree, audit: material.audit)
        plan = material.slicePlan
        wire = material.wire
        memory = ChunkMemory(material)
        self.router = router
        self.passOn = passOn
    }

    /// The moment when `tick` is wanted next; nil when no sum waits.
    var nextDeadline: Duration? { machine.nextDeadline }

    /// Hands an event to the machine, and carries out what the machine decides.
    ///
    /// - Parameters:
    ///   - event: the event.
    ///   - header: the header of the message that the event is about.
    ///   - payload: the payload of that message. Weights that are kept lie in a received frame.
    func step(
        _ event: RelayMachine.Event, _ header: BulkHeader? = nil, _ payload: Payload? = nil
    ) throws(ZeroMQError) {
        for action in machine.step(event, now: SteadyClock.now) {
            try perform(action, header, payload)
        }
    }

    private func perform(
        _ action: RelayMachine.Action, _ header: BulkHeader?, _ payload: Payload?
    ) throws(ZeroMQError) {
        switch action {
        case .keep(let slot, let node, let replaced):
            guard let payload else { return }
            sums[slot, default: TreeSums()].keep(payload, node: node, replaced: replaced)
        case .add(let slot, let merge): sums[slot]?.add(merge, of: slot.chunk, in: memory)
        case .passOn(let slot, let placement, let step, let node, let totals):
            guard let sum = sums[slot]?.remove(node) else {
                preconditionFailure("a sum of \(node) that was never kept")
            }
            var header = self.header(.contribution, step: step, chunk: slot.chunk)
            header.placement = placement
            header.node = node
            header.totals = totals
            passOn(header, sum)
        case .forward: if let header, let payload { passOn(header, payload) }
        case .drop: break
        case .forget(let slot): sums[slot] = nil
        case .keepWeights(let chunk): weights[chunk] = payload
        case .forgetWeights: weights = [:]
        case .sendWeights(let chunk, let version, let placement, let peers):
            guard let payload = weights[chunk] else { return }
            var header = self.header(.weights, step: version, chunk: chunk)
            header.placement = placement
            try send(
                BulkMessage.frames(header, payload: payload, wire.weights(at: version)), to: peers)
        }
    }

    private func header(_ kind: BulkKind, step: Step, chunk: ChunkIndex) -> BulkHeader {
        var header = BulkHeader(kind: kind, step: step, shard: plan[chunk].shard)
        header.chunk = chunk
        return header
    }

    /// Sends a message to peers. A peer that is gone is sent nothing more. A peer that misses a
    /// message asks the chunk's shard.
    private func send(_ frames: [Frame], to peers: [PeerIdentity]) throws(ZeroMQError) {
        for peer in peers {
            if try router.send([Frame(peer.rawValue)] + frames) == .unreachable {
                try step(.unsubscribe(peer: peer))
            }
        }
    }
}
