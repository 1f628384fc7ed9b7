import ClusterProtocol

/// A simulated worker or server. It uses the real state machines, with arrays in place of sockets
/// and threads.
///
/// It is a class because a simulation of one second of training looks up its members a hundred
/// thousand times.
final class SimulatedMember {
    let identity: PeerIdentity
    let role: Role
    var member: MemberMachine
    var shards: ShardHostMachine
    /// The factor by which this member computes more slowly than others.
    let slowness: Double

    // State of a worker.
    var versions: [Step: [Float]] = [:]
    var current: (step: Step, weights: [Float])?
    var computed: [TreeNode: ([Float], ContributionTotals)] = [:]
    var hosts: [ShardIndex: PeerIdentity] = [:]
    var lastGeneration = Generation(0)

    // State of the shards.
    var state: [ChunkIndex: [[Float]]] = [:]
    var previous: [ChunkIndex: [Float]] = [:]
    var chunkVersions: [ChunkIndex: Step] = [:]
    var sums: [ChunkIndex: TreeSums<[Float]>] = [:]
    var held: [ChunkIndex: [TreeNode: [PeerIdentity: [Float]]]] = [:]
    /// The sums of squares of all blocks, in even and in odd steps. What is not here is not a
    /// number.
    var squares: [[Float]] = [[], []]
    /// The hosts that this host is connected to.
    var shardHosts: Set<PeerIdentity> = []

    // State of a relay.
    var relay: RelayMachine
    var routes: RelayRoutes?
    var relaySums: [RelayMachine.Slot: TreeSums<[Float]>] = [:]
    var relayWeights: [ChunkIndex: [Float]] = [:]

    var isPausedUntil: Duration = .zero

    init(
        identity: PeerIdentity, role: Role, member: MemberMachine, shards: ShardHostMachine,
        slowness: Double, relay: RelayMachine
    ) {
        self.identity = identity
        self.role = role
        self.member = member
        self.shards = shards
        self.slowness = slowness
        self.relay = relay
    }
}

/// One direction of the connection between two processes.
struct SimulatedLink: Hashable, CustomStringConvertible {
    let source: PeerIdentity
    let target: PeerIdentity

    var description: String { "\(source)>\(target)" }
}

/// A message between simulated processes.
enum SimulatedPacket {
    case control(ControlMessage)
    case bulk(BulkHeader, [Float])
}
