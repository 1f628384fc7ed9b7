import ClusterProtocol

/// A worker or a server: the real machines, with arrays in place of sockets and threads.
///
/// A class, since a simulation of a second of training looks up its members a hundred thousand times.
final class SimulatedMember {
    let identity: PeerIdentity
    let role: Role
    var member: MemberMachine
    var shards: ShardHostMachine
    let slowness: Double

    // Worker.
    var versions: [Step: [Float]] = [:]
    var current: (step: Step, weights: [Float])?
    var computed: [TreeNode: ([Float], ContributionTotals)] = [:]
    var hosts: [ShardIndex: PeerIdentity] = [:]
    var lastGeneration = Generation(0)

    // Shards.
    var state: [Int: [[Float]]] = [:]
    var previous: [Int: [Float]] = [:]
    var chunkVersions: [Int: Step] = [:]
    var sums: [Int: [TreeNode: [Float]]] = [:]
    var held: [Int: [TreeNode: [PeerIdentity: [Float]]]] = [:]

    // Relay.
    var relay: RelayMachine
    var routes: RelayRoutes?
    var relaySums: [RelayMachine.Slot: [TreeNode: [Float]]] = [:]
    var relayWeights: [Int: [Float]] = [:]

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

/// One way from a process to another.
struct SimulatedLink: Hashable, CustomStringConvertible {
    let source: PeerIdentity
    let target: PeerIdentity

    var description: String { "\(source)>\(target)" }
}

/// What travels between simulated processes.
enum SimulatedPacket {
    case control(ControlMessage)
    case bulk(BulkHeader, [Float])
}
