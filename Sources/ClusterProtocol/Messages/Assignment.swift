/// Where a shard is hosted.
public struct ShardPlacement: Hashable, Codable, Sendable {
    /// The shard.
    public var shard: ShardIndex
    /// The process that hosts the shard.
    public var host: PeerIdentity
    /// The bulk endpoint that workers connect to, for instance `tcp://127.0.0.1:40123`.
    public var endpoint: String
    /// The public CURVE key that the host must prove to hold; nil without keys.
    public var publicKey: String?

    /// Creates a placement.
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
    /// The generation that the assignment belongs to.
    public var generation: Generation
    /// The virtual workers that it computes from `fromStep` on, ascending; empty for a spare worker.
    public var virtualWorkers: [VirtualWorkerIndex]
    /// The virtual workers that it computes before `fromStep`. The shares of all workers cover the
    /// whole tree on either side of `fromStep`, so that a worker that never got an earlier assignment
    /// leaves no gap.
    public var interimVirtualWorkers: [VirtualWorkerIndex]
    /// The first step with `virtualWorkers`.
    public var fromStep: Step
    /// The virtual workers of another worker that it also computes, in the steps in which they are
    /// audited.
    public var auditedVirtualWorkers: [VirtualWorkerIndex]
    /// The same for the steps before `fromStep`. A share and its audit are always with two workers.
    public var interimAuditedVirtualWorkers: [VirtualWorkerIndex]
    /// Steps below this one may run; the worker rests when its weights reach it.
    public var stepLimit: Step
    /// Where the shards are, in shard order.
    public var shards: [ShardPlacement]
    /// The number of the placement. It rises when shards were put back to an earlier version; weights
    /// that a worker holds are then to be fetched again.
    public var placement: Placement
    /// The instruction set that all workers of the run compute with.
    public var instructionSet: String
    /// The relay groups in which the worker has virtual workers, in tree order. Without groups, all
    /// contributions go straight to the shards.
    public var relayGroups: [RelayGroup]

    /// Creates an assignment. Without `interimVirtualWorkers` and `interimAuditedVirtualWorkers`, the
    /// worker has the same virtual workers and the same audits before `fromStep`.
    public init(
        generation: Generation, virtualWorkers: [VirtualWorkerIndex],
        interimVirtualWorkers: [VirtualWorkerIndex]? = nil, fromStep: Step = Step(0),
        auditedVirtualWorkers: [VirtualWorkerIndex] = [],
        interimAuditedVirtualWorkers: [VirtualWorkerIndex]? = nil, stepLimit: Step,
        shards: [ShardPlacement], placement: Placement, instructionSet: String,
        relayGroups: [RelayGroup] = []
    ) {
        self.generation = generation
        self.virtualWorkers = virtualWorkers
        self.interimVirtualWorkers = interimVirtualWorkers ?? virtualWorkers
        self.fromStep = fromStep
        self.auditedVirtualWorkers = auditedVirtualWorkers
        self.interimAuditedVirtualWorkers = interimAuditedVirtualWorkers ?? auditedVirtualWorkers
        self.stepLimit = stepLimit
        self.shards = shards
        self.placement = placement
        self.instructionSet = instructionSet
        self.relayGroups = relayGroups
    }

    /// Returns the virtual workers that it computes in a step.
    public func share(in step: Step) -> [VirtualWorkerIndex] {
        step < fromStep ? interimVirtualWorkers : virtualWorkers
    }

    /// Returns the virtual workers of another worker that it computes too, where they are audited in
    /// a step.
    func audits(in step: Step) -> [VirtualWorkerIndex] {
        step < fromStep ? interimAuditedVirtualWorkers : auditedVirtualWorkers
    }
}
