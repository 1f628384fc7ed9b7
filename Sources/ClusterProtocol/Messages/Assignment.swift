/// Where a shard lives.
public struct ShardPlacement: Hashable, Codable, Sendable {
    public var shard: ShardIndex
    public var host: PeerIdentity
    /// The bulk endpoint that workers connect to, for instance `tcp://127.0.0.1:40123`.
    public var endpoint: String
    /// The key that the host must prove to hold; nil without keys.
    public var publicKey: String?

    public init(
        shard: ShardIndex, host: PeerIdentity, endpoint: String, publicKey: String? = nil
    ) {
        self.shard = shard
        self.host = host
        self.endpoint = endpoint
        self.publicKey = publicKey
    }
}

/// What one worker does from now on; a later generation replaces an earlier one.
public struct Assignment: Hashable, Codable, Sendable {
    public var generation: Generation
    /// The virtual workers it runs from `fromStep` on, ascending; empty for a spare.
    public var virtualWorkers: [Int]
    /// The virtual workers it runs until then. The shares of all workers cover the whole tree on either
    /// side of `fromStep`, so that one who never got an earlier assignment leaves no gap.
    public var interimVirtualWorkers: [Int]
    public var fromStep: Step
    /// Virtual workers of others that it computes too in the steps in which they are audited.
    public var auditedVirtualWorkers: [Int]
    /// Steps below this one may run; the worker rests when its weights reach it.
    public var stepLimit: Step
    /// Where the slices are, in shard order.
    public var shards: [ShardPlacement]
    /// Rises when shards were put back to an earlier version: weights held are to be fetched anew.
    public var placement: Int
    /// The instruction set that all workers of the run compute with.
    public var instructionSet: String
    /// The groups it has virtual workers in, in tree order; none: everything goes straight to the
    /// shards.
    public var relayGroups: [RelayGroup]

    public init(
        generation: Generation, virtualWorkers: [Int], interimVirtualWorkers: [Int]? = nil,
        fromStep: Step = Step(0), auditedVirtualWorkers: [Int] = [], stepLimit: Step,
        shards: [ShardPlacement], placement: Int, instructionSet: String,
        relayGroups: [RelayGroup] = []
    ) {
        self.generation = generation
        self.virtualWorkers = virtualWorkers
        self.interimVirtualWorkers = interimVirtualWorkers ?? virtualWorkers
        self.fromStep = fromStep
        self.auditedVirtualWorkers = auditedVirtualWorkers
        self.stepLimit = stepLimit
        self.shards = shards
        self.placement = placement
        self.instructionSet = instructionSet
        self.relayGroups = relayGroups
    }

    /// The virtual workers it runs in a step.
    func share(in step: Step) -> [Int] {
        step < fromStep ? interimVirtualWorkers : virtualWorkers
    }
}
