import Buffers
import ClusterProtocol
import Logging
import Partitions
import RunFiles
import ZeroMQ

/// Carries out what a worker's machine decides, with links to the shards, buffers for the weights
/// and threads that compute.
///
/// Threading: the member's socket thread only. The compute pool reports from its own threads.
final class WorkerRuntime {
    /// What the compute pool needs besides the run.
    struct Compute: Sendable {
        /// The data that microbatches are read from.
        var dataSet: DataSet
        /// The frozen weights; nil where nothing is frozen.
        var frozen: FloatBuffer?
        /// The number of compute threads that were asked for.
        var threadCount: Int
        /// Makes the engines; nil for the run's backend.
        var makeEngine: EngineMaker?
        /// Receives results, on a compute thread.
        var report: @Sendable (ComputePool.Result) -> Void
        var log: Logger
    }

    private let material: RunMaterial
    private let compute: Compute
    /// Fetches partitions from elsewhere; nil when all data is on this host.
    private let needs: PartitionNeeds?
    private let weights: WeightBuffers
    /// The connections to shards and relays.
    let links: ShardLinks
    /// The compute threads; nil before the instruction set is known.
    private var pool: ComputePool?
    /// The sums of the present step. They stay until the step is over, since they may have to be
    /// sent again.
    private var sums: [TreeNode: NodeTask.Part] = [:]
    /// The number of nodes sent, including those sent again and those computed for others.
    private(set) var contributionCount = 0
    /// The number of sums of neighbours that were sent on to their shards.
    private(set) var relayedCount = 0
    /// The moment when the last contribution of the present step was sent; nil before that.
    private var lastContribution: Duration?
    /// The time from the last contribution of a step to the complete weights of the next, added up
    /// since the last heartbeat.
    private var waitTotal: Duration = .zero
    /// The number of steps in `waitTotal`.
    private var waitCount = 0

    /// Creates a worker without weights.
    init(_ material: RunMaterial, links: ShardLinks, compute: Compute) {
        self.material = material
        self.links = links
        self.compute = compute
        needs = PartitionNeeds(compute.dataSet, material: material)
        weights = WeightBuffers(material, frozen: compute.frozen)
    }

    /// Ends the compute threads and closes all connections.
    func close() {
        pool?.stop()
        tellWaits(before: nil)
        pool = nil
        links.close()
    }

    /// Returns whether the data that a virtual worker needs in a step is on this host.
    func hasData(step: Step, virtualWorker: VirtualWorkerIndex) -> Bool {
        needs?.has(step: step, virtualWorker: virtualWorker) ?? true
    }

    // MARK: Actions

    /// Carries out one action of the worker's machine.
    func perform(_ action: WorkerMachine.Action, now: Duration) throws(ZeroMQError) {
        switch action {
        case .tell, .store, .retried: break
        case .assigned(let assignment):
            if let step = weights.step {
                needs?.expect(step: step, virtualWorkers: assignment.share(in: step))
            }
        case .connect(let placements, let routes, let isRerouted):
            try links.connect(placements, routes, isRerouted: isRerouted)
        case .useInstructionSet(let name):
            pool = ComputePool(
                material: material, dataSet: compute.dataSet, needs: needs,
                threadCount: material.usefulThreadCount(compute.threadCount),
                instructionSet: name, makeEngine: compute.makeEngine, report: compute.report)
        case .fetch(let shard, let chunk, let version):
            try links.fetch(shard, chunk: chunk, version)
        case .follow(let chunk, let version): try links.follow(chunk: chunk, version)
        case .inquire(let shard, let step): try links.inquire(shard, step)
        case .abandonWeights(let version): weights.abandon(version)
        case .adopt(let step, let virtualWorkers): adopt(step, virtualWorkers, now: now)
        case .reset:
            weights.reset()
            sums = [:]
        case .compute(let step, let nodes):
            guard let training = weights.training(at: step) else { return }
            tellWaits(before: step)
            pool?.compute(step: step, nodes: nodes, weights: training)
        case .contribute(let contribution):
            try contribute(contribution)
            guard contribution.chunks.lowerBound == ChunkIndex(0) else { return }
            contributionCount += 1
            lastContribution = now
        case .evaluate(let evaluate):
            guard let evaluated = weights.evaluated(at: evaluate.step) else { return }
            needs?.expectTest(evaluate.chunks.map { material.evaluationRecords(chunk: $0) })
            pool?.evaluate(evaluate, weights: evaluated)
        }
    }

    /// Takes weights into use, and drops the sums of the step before.
    private func adopt(_ step: Step, _ virtualWorkers: [VirtualWorkerIndex], now: Duration) {
        guard weights.adopt(step) else { return }
        needs?.expect(step: step, virtualWorkers: virtualWorkers)
        sums = [:]
        if let lastContribution {
            waitTotal += now - lastContribution
            waitCount += 1
        }
        lastContribution = nil
    }

    /// Keeps what is computed of a node's sum.
    func keep(_ part: NodeTask.Part, node: TreeNode, step: Step) {
        if weights.step == step { sums[node] = part }
    }

    /// Sends chunks of a node's sum, chunks of shards in other processes first.
    private func contribute(_ contribution: WorkerMachine.Contribution) throws(ZeroMQError) {
        guard weights.step == contribution.step, let part = sums[contribution.node] else { return }
        let shards = Set(contribution.shards)
        for chunk in links.sendingOrder where contribution.chunks.contains(chunk) {
            let shard = material.slicePlan[chunk].shard
            guard shards.contains(shard) else { continue }
            var header = BulkHeader(kind: .contribution, step: contribution.step, shard: shard)
            header.chunk = chunk
            header.node = contribution.node
            header.placement = contribution.placement
            header.totals = part.totals
            try links.contribute(header, part.sum, isStraight: contribution.isStraight)
        }
    }

    /// Sends a sum that this worker's relay has added up to its shard.
    func passOn(_ header: BulkHeader, _ payload: Payload) throws(ZeroMQError) {
        relayedCount += 1
        try links.passOn(header, payload)
    }

    // MARK: Arrivals

    /// What a bulk message to a worker turns out to be.
    enum Arrival {
        /// A chunk of weights. It has no payload when the chunk is in place already, or will not be
        /// stored.
        case weights(BulkHeader, Payload?)
        /// Weights that lay in a shard's memory and cannot be read there, or cannot be read there
        /// any more.
        case lost
        /// A shard's answer: the virtual workers that it still waits for.
        case missing(step: Step, virtualWorkers: [VirtualWorkerIndex])
        /// A malformed message, and what is wrong with it.
        case flawed(String)
    }

    /// Returns what a shard or a relay has sent.
    ///
    /// - Parameters:
    ///   - message: the message.
    ///   - isWanted: returns whether weights will be stored.
    func arrival(
        of message: BulkMessage, isWanted: (BulkHeader) -> Bool
    ) throws(ZeroMQError) -> Arrival {
        let header = message.header
        if header.kind == .missing {
            return .missing(
                step: header.step, virtualWorkers: message.indices.map(VirtualWorkerIndex.init))
        }
        guard header.kind == .weights, material.slicePlan.contains(header.chunk)
        else { return .flawed("unexpected \(header.kind), or an unknown chunk") }
        let count = material.slicePlan[header.chunk].range.count
        let precision = material.wire.weights(at: header.step)
        if let flaw = message.flaw(expecting: precision, elementCount: count) {
            return .flawed(flaw)
        }
        if header.payloadType.isShared {
            guard let place = message.sharedPayload else {
                return .flawed("a malformed place in shared memory")
            }
            return isWanted(header) ? try sharedWeights(header, place) : .weights(header, nil)
        }
        guard let payload = message.payload else { return .flawed("weights without a payload") }
        links.dismiss(header.shard)
        return .weights(header, .frame(payload))
    }

    /// Copies weights out of a shard's memory before anything is decided by them: the shard may
    /// overwrite them at any time. They may be copied to their final place, since another copy
    /// follows one that fails.
    private func sharedWeights(
        _ header: BulkHeader, _ place: SharedPayload
    ) throws(ZeroMQError) -> Arrival {
        let isFirst = !weights.hasBegun(header.step)
        let landing = weights.landing(chunk: header.chunk, version: header.step)
        let outcome = try links.copy(
            place, of: header.shard, version: header.step, to: landing)
        guard outcome == .copied else {
            // No chunk of this version is here, so its buffers are not needed.
            if isFirst { weights.abandon(header.step) }
            return .lost
        }
        return .weights(
            header,
            landing.isInPlace ? nil : .buffer(landing.buffer, byteCount: landing.byteCount))
    }

    /// Stores a chunk of a version, which has the right length.
    func store(_ payload: Payload?, chunk: ChunkIndex, version: Step) {
        let training = weights.store(payload, chunk: chunk, version: version)
        pool?.expect(training, chunk: chunk)
    }

    // MARK: Speed

    /// Logs how long the compute threads waited for data in the epoch that has ended.
    private func tellWaits(before step: Step?) {
        guard let waits = pool?.takeWaits(before: step) else { return }
        compute.log.info("waited for data", metadata: waits.metadata)
    }

    /// Returns a heartbeat with the times since the last call.
    func takeHeartbeat(generation: Generation, step: Step) -> Heartbeat {
        let times = pool?.takeTimes() ?? ComputeTimes()
        let count = Int64(max(1, times.virtualWorkerCount))
        let wait = waitCount == 0 ? Duration.zero : waitTotal / waitCount
        waitTotal = .zero
        waitCount = 0
        return Heartbeat(
            generation: generation, step: step,
            computeMicroseconds: Int(times.computeNanoseconds / count / 1000),
            inputMicroseconds: Int(times.inputNanoseconds / count / 1000),
            waitMicroseconds: Int(wait / .microseconds(1)))
    }
}
