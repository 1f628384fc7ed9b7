import ClusterProtocol
import CounterRandom
import Testing

@Suite struct SlicePlanTests {
    /// Everything a plan promises.
    private func check(_ parameters: Int, _ shards: Int, _ chunkSize: Int, _ label: String = "") {
        let plan = SlicePlan(
            parameterCount: parameters, shardCount: shards, chunkElementCount: chunkSize)
        let label = "\(label) \(parameters) parameters, \(shards) shards, chunks of \(chunkSize)"
        let line = SlicePlan.alignment
        let lines = (parameters + line - 1) / line
        #expect(plan.parameterCount == parameters)
        #expect(plan.shardCount == min(shards, lines), "\(label)")
        #expect(plan.shards == (0..<plan.shardCount).map(ShardIndex.init))
        #expect(plan.chunks.map(\.index) == Array(plan.chunks.indices))
        // Contiguous, from the first element to the last: each element is in exactly one chunk.
        #expect(plan.chunks.first?.range.lowerBound == 0, "\(label)")
        #expect(plan.chunks.last?.range.upperBound == parameters, "\(label)")
        for (chunk, next) in zip(plan.chunks, plan.chunks.dropFirst()) {
            #expect(chunk.range.upperBound == next.range.lowerBound, "\(label)")
            #expect(chunk.shard <= next.shard, "\(label)")
        }
        let bound = (chunkSize + line - 1) / line * line
        for chunk in plan.chunks {
            #expect(!chunk.range.isEmpty && chunk.range.count <= bound, "\(label): \(chunk)")
            #expect(chunk.range.lowerBound % line == 0, "\(label): \(chunk)")
        }
        var sizes: [Int] = []
        for shard in plan.shards {
            let mine = plan.chunks(of: shard)
            #expect(!mine.isEmpty && mine.allSatisfy { $0.shard == shard }, "\(label)")
            let count = mine.reduce(0) { $0 + $1.range.count }
            sizes.append((count + line - 1) / line)
        }
        // No shard has more than one cache line more than another.
        #expect((sizes.max() ?? 0) - (sizes.min() ?? 0) <= 1, "\(label): \(sizes)")
        #expect(plan.chunks.count == plan.shards.reduce(0) { $0 + plan.chunks(of: $1).count })
    }

    @Test func smallPlans() {
        for parameters in 1...100 {
            for shards in 1...9 { check(parameters, shards, 16) }
        }
    }

    @Test func oneParameterIsOneChunk() {
        let plan = SlicePlan(parameterCount: 1, shardCount: 5)
        #expect(plan.shardCount == 1)
        #expect(plan.chunks.map(\.range) == [0..<1])
    }

    @Test func moreShardsThanCacheLinesAreLeftOut() {
        let plan = SlicePlan(parameterCount: 33, shardCount: 100)
        #expect(plan.shardCount == 3)
        #expect(plan.chunks.map(\.range) == [0..<16, 16..<32, 32..<33])
    }

    /// The built-in model on one and on three shards, as it travels.
    @Test func theBuiltInModel() {
        #expect(
            SlicePlan(parameterCount: 122_570, shardCount: 1).chunks.map(\.range)
                == [0..<61_280, 61_280..<122_570])
        let three = SlicePlan(parameterCount: 122_570, shardCount: 3)
        #expect(three.chunks.map(\.range) == [0..<40_848, 40_848..<81_712, 81_712..<122_570])
        #expect(three.chunks.map(\.shard.value) == [0, 1, 2])
    }

    @Test func randomPlans() {
        for seed in TestSeed.seeds(2_000) {
            var random = RandomStream(seed: seed, purpose: .simulation, 1)
            let parameters = 1 + random.next(below: 1 << (1 + random.next(below: 22)))
            let shards = 1 + random.next(below: 40)
            let chunkSize = 16 + random.next(below: 1 << (1 + random.next(below: 17)))
            check(parameters, shards, chunkSize, "seed \(seed):")
        }
    }
}
