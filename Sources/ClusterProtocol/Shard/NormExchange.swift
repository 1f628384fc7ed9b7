/// Decides how the hosts of shards learn the norm of a step's whole gradient.
///
/// Each host measures its shards' part of the gradient: the sums of squares of fixed blocks of
/// elements. It sends these sums to every other host of shards, and updates its shards when it has
/// the sums of all shards. The sums go straight from host to host, so a coordinator that is away
/// stops nothing, and no worker takes part.
///
/// The sums of a shard in a step are a function of the run, so a duplicate changes nothing. A host
/// whose shards are measured and that lacks sums of others asks for them until it has them. Hosts
/// are at most one step apart, because no worker begins a step before all shards have updated. So
/// a host keeps its shards' sums of the step before for hosts that still lack them. Sums of
/// another placement of the shards are dropped: when shards are put back, the exchange begins anew.
public struct NormExchange: Hashable, Sendable {
    /// The placement of the shards that the exchange belongs to.
    public let placement: Placement
    /// The step whose norm is not known yet.
    public private(set) var step: Step
    /// The shards of this host, ascending.
    private let own: [ShardIndex]
    private let shardCount: Int
    /// The first step after the shards were put in place.
    private let first: Step
    /// The places of the other hosts' shards.
    private var others: [ShardIndex: ShardPlacement] = [:]
    /// The other hosts, in a fixed order.
    public private(set) var hosts: [PeerIdentity] = []
    /// The shards whose sums of `step` are here.
    private var present: Set<ShardIndex> = []
    /// The moment when this host's shards were measured, or when others were last asked.
    private var lastAsked: Moment = .zero

    /// Creates the exchange of a placement.
    ///
    /// - Parameters:
    ///   - host: what the coordinator says about the placement.
    ///   - shardCount: the number of shards of the run.
    public init(_ host: HostShards, shardCount: Int) {
        placement = host.placement
        step = host.step
        first = host.step
        self.shardCount = shardCount
        own = Set(host.shards).filter { (0..<shardCount).contains($0.value) }.sorted()
        _ = connect(host.peers ?? [])
    }

    /// The places of the other hosts' shards, in the order of the shards.
    public var places: [ShardPlacement] { others.keys.sorted().compactMap { others[$0] } }

    /// Takes in where the shards are. Returns false when nothing has changed.
    public mutating func connect(_ placements: [ShardPlacement]) -> Bool {
        var next: [ShardIndex: ShardPlacement] = [:]
        for placement in placements
        where !own.contains(placement.shard) && (0..<shardCount).contains(placement.shard.value) {
            next[placement.shard] = placement
        }
        guard next != others else { return false }
        others = next
        hosts = Set(next.values.map(\.host)).sorted()
        return true
    }

    /// Whether the sums of all shards are here.
    public var isComplete: Bool { present.count == shardCount }

    /// Whether the sums of all shards of this host are here, and sums of other hosts are missing.
    private var isWaiting: Bool {
        !own.isEmpty && !isComplete && own.allSatisfy(present.contains)
    }

    /// Takes note that a shard of this host is measured. Returns false when that is known.
    public mutating func measured(_ shard: ShardIndex, now: Moment) -> Bool {
        guard own.contains(shard), present.insert(shard).inserted else { return false }
        lastAsked = now
        return true
    }

    /// Takes note of sums of another host's shard. Returns whether to keep them.
    public mutating func received(
        _ shard: ShardIndex, step: Step, placement: Placement
    ) -> Bool {
        guard placement == self.placement, step == self.step, others[shard] != nil else {
            return false
        }
        return present.insert(shard).inserted
    }

    /// Goes on to the next step.
    public mutating func advance() {
        step = step.next
        present = []
    }

    /// Returns the shards of this host whose sums of a step are here, and the host that asks for
    /// them; nil when there are none.
    ///
    /// - Parameter shard: a shard of the host that asks.
    public func answer(
        to shard: ShardIndex, step: Step, placement: Placement
    ) -> (shards: [ShardIndex], host: PeerIdentity)? {
        guard placement == self.placement, let host = others[shard]?.host else { return nil }
        let shards: [ShardIndex]
        if step == self.step {
            shards = own.filter(present.contains)
        } else if step >= first, step.value == self.step.value - 1 {
            shards = own
        } else {
            return nil
        }
        return shards.isEmpty ? nil : (shards, host)
    }

    /// The shard of this host that its questions name; nil for a host without shards.
    public var asker: ShardIndex? { own.first }

    /// The moment when sums that have not come are asked for again; nil when none are waited for.
    public func nextDeadline(_ interval: Duration) -> Moment? {
        isWaiting ? lastAsked + interval : nil
    }

    /// Returns the hosts to ask now for sums that have not come.
    public mutating func hostsToAsk(_ interval: Duration, now: Moment) -> [PeerIdentity] {
        guard isWaiting, now - lastAsked >= interval else { return [] }
        lastAsked = now
        let missing = others.filter { !present.contains($0.key) }
        return Set(missing.values.map(\.host)).sorted()
    }
}
