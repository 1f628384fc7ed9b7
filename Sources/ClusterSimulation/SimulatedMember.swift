import ClusterProtocol

/// A worker or a server: the real machines, with arrays in place of sockets and threads.
struct SimulatedMember {
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
}

/// What travels between simulated processes.
enum SimulatedPacket {
    case control(ControlMessage)
    case bulk(BulkHeader, [Float])
}
