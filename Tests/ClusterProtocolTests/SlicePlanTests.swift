import ClusterProtocol
import CounterRandom
import TestSupport
import Testing

@Suite struct SlicePlanTests {
    /// Checks everything that a plan promises.
    private func check(
        _ parameters: Int, _ shards: Int, _ chunkSize: Int, layers: [Int] = [],
        _ label: String = "", line: Int = SlicePlan.alignment
    ) {
        let plan = SlicePlan(
            parameterCount: parameters, shardCount: shards, layerStarts: layers,
            chunkElementCount: chunkSize, granularity: line)
        let label = "\(label) \(parameters) parameters, \(shards) shards, chunks of \(chunkSize)"
        #expect(plan.blockCount == (parameters + line - 1) / line)
        // Every block lies in one chunk, and in one shard.
        #expect(plan.chunks.flatMap { plan.blocks(of: $0.range) } == Array(0..<plan.blockCount))
        #expect(
            plan.shards.compactMap { plan.elements(of: $0) }.flatMap { plan.blocks(of: $0) }
                == Array(0..<plan.blockCount), "\(label)")
        #expect(plan.elements(of: ShardIndex(plan.shardCount)) == nil)
        let lines = (parameters + line - 1) / line
        #expect(plan.parameterCount == parameters)
        #expect(plan.shardCount == min(shards, lines), "\(label)")
        #expect(plan.shards == (0..<plan.shardCount).map(ShardIndex.init))
        #expect(plan.chunks.map(\.index) == Array(plan.chunkIndices))
        #expect(plan.chunkIndices.allSatisfy { plan.contains($0) && plan[$0].index == $0 })
        #expect(!plan.contains(ChunkIndex(-1)) && !plan.contains(plan.chunkIndices.upperBound))
        // The chunks are contiguous, from the first element to the last: each element is in exactly
        // one.
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
        // Shard sizes differ by at most one cache line.
        #expect((sizes.max() ?? 0) - (sizes.min() ?? 0) <= 1, "\(label): \(sizes)")
        #expect(plan.chunks.count == plan.shards.reduce(0) { $0 + plan.chunks(of: $1).count })
    }

    @Test func smallPlans() {
        for parameters in 1...100 {
            for shards in 1...9 { check(parameters, shards, 16) }
        }
    }

    @Test func chunksOfOwnShardsAreSentLast() {
        let plan = SlicePlan(parameterCount: 96, shardCount: 3, chunkElementCount: 16)
        #expect(plan.chunks.map(\.shard.value) == [0, 0, 1, 1, 2, 2])
        #expect(plan.sendingOrder(own: []).map(\.value) == [0, 1, 2, 3, 4, 5])
        #expect(plan.sendingOrder(own: [ShardIndex(0)]).map(\.value) == [2, 3, 4, 5, 0, 1])
        #expect(
            plan.sendingOrder(own: [ShardIndex(2), ShardIndex(1)]).map(\.value) == [
                0, 1, 2, 3, 4, 5,
            ])
        #expect(
            plan.sendingOrder(own: [ShardIndex(0), ShardIndex(2)]).map(\.value) == [
                2, 3, 0, 1, 4, 5,
            ])
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

    /// The built-in model on one and on three shards: the gradients of two convolutions of 19,392
    /// parameters are final last, and travel by themselves.
    @Test func theBuiltInModel() {
        func plan(_ shards: Int) -> SlicePlan {
            SlicePlan(
                parameterCount: 122_570, shardCount: shards,
                layerStarts: [0, 896, 19_392, 56_320, 121_920])
        }
        #expect(plan(1).chunks.map(\.range) == [0..<19_392, 19_392..<122_570])
        #expect(
            plan(3).chunks.map(\.range)
                == [0..<19_392, 19_392..<40_848, 40_848..<81_712, 81_712..<122_570])
        #expect(plan(3).chunks.map(\.shard.value) == [0, 0, 1, 2])
    }

    @Test func theFirstLayersTravelAloneWhereTheyAreTheSmallerPart() {
        func starts(_ layers: [Int], of count: Int) -> [Int] {
            SlicePlan(parameterCount: count, shardCount: 1, layerStarts: layers).chunks.map {
                $0.range.lowerBound
            }
        }
        #expect(starts([], of: 100_000) == [0])
        #expect(starts([0, 10], of: 100_000) == [0])
        // The end of the layers is rounded up to the next cache line.
        #expect(starts([0, 20_001, 50_000], of: 100_000) == [0, 20_016])
        #expect(starts([0, 60_000], of: 100_000) == [0])
        #expect(starts([0, 20_000], of: 300_000) == [0, 20_000, 113_328, 206_656])
    }

    @Test func randomPlans() {
        for seed in TestSeed.seeds(2_000) {
            var random = RandomStream(seed: seed, purpose: .simulation, 1)
            let parameters = 1 + random.next(below: 1 << (1 + random.next(below: 22)))
            let shards = 1 + random.next(below: 40)
            let chunkSize = 16 + random.next(below: 1 << (1 + random.next(below: 17)))
            let layers = (0..<random.next(below: 9)).map { _ in random.next(below: parameters) }
            check(
                parameters, shards, chunkSize, layers: layers.isEmpty ? [] : [0] + layers.sorted(),
                "seed \(seed):")
            check(
                parameters, shards, 1024 + chunkSize,
                layers: layers.isEmpty ? [] : [0] + layers.sorted(), "seed \(seed):", line: 1024)
        }
    }
}
