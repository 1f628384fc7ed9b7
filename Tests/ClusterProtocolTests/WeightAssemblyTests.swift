import ClusterProtocol
import CounterRandom
import TestSupport
import Testing

@Suite struct WeightAssemblyTests {
    /// An assembly and its buffers, which are opened, filled and dropped as the assembly says.
    private struct Buffers {
        var assembly: WeightAssembly
        var open: [Step: Set<ChunkIndex>] = [:]

        init(_ chunkCount: Int) { assembly = WeightAssembly(chunkCount: chunkCount) }

        /// Returns false when something was wrong.
        mutating func receive(_ chunk: ChunkIndex, _ version: Step) -> Bool {
            let before = assembly.complete
            let isWanted = assembly.wants(chunk: chunk, version: version)
            guard
                case .store(let isComplete, let abandoned) = assembly.receive(
                    chunk: chunk, version: version)
            else { return !isWanted && assembly.complete == before }
            var isGood = isWanted && abandoned.allSatisfy { open.removeValue(forKey: $0) != nil }
            isGood = isGood && open[version, default: []].insert(chunk).inserted
            isGood = isGood && open.count <= WeightAssembly.maximumOpenCount
            let isWhole = open[version]?.count == assembly.chunkCount
            isGood = isGood && isWhole == isComplete
            if isComplete {
                open[version] = nil
                isGood = isGood && assembly.complete == version && open.keys.allSatisfy { $0 > version }
            } else {
                isGood = isGood && assembly.complete == before
            }
            return isGood
        }
    }

    /// Two versions of four chunks arrive in each of their 40,320 orders, each chunk twice.
    @Test func everyOrderOfTwoVersions() {
        let arrivals = (0..<8).map { (chunk: ChunkIndex($0 % 4), version: Step(7 + $0 / 4)) }
        var failures = 0
        func visit(_ buffers: Buffers, _ rest: [Int], _ arrived: [Step: Int]) {
            let newest = arrived.filter { $0.value == 4 }.keys.max()
            if buffers.assembly.complete != newest { failures += 1 }
            for position in rest.indices {
                var (buffers, rest, arrived) = (buffers, rest, arrived)
                let (chunk, version) = arrivals[rest.remove(at: position)]
                arrived[version, default: 0] += 1
                if !buffers.receive(chunk, version) { failures += 1 }
                let whole = buffers
                if !buffers.receive(chunk, version) { failures += 1 }
                // A duplicate changes nothing.
                if buffers.assembly != whole.assembly { failures += 1 }
                visit(buffers, rest, arrived)
            }
        }
        visit(Buffers(4), Array(0..<8), [:])
        #expect(failures == 0)
    }

    /// For any arrivals, at most two versions are open, and a version called whole is whole.
    @Test func randomArrivals() {
        for seed in TestSeed.seeds(5_000) {
            var random = RandomStream(seed: seed, purpose: .simulation, 4)
            let chunkCount = 1 + random.next(below: 5)
            var buffers = Buffers(chunkCount)
            var base = 0
            for _ in 0..<100 {
                let version = Step(base + random.next(below: 5))
                guard buffers.receive(ChunkIndex(random.next(below: chunkCount + 1)), version)
                else {
                    Issue.record("seed \(seed): \(buffers)")
                    return
                }
                if random.next(below: 10) == 0 { base += 1 }
            }
            // A new version that arrives whole is always taken.
            for chunk in ChunkIndex(0)..<ChunkIndex(chunkCount) {
                let isGood = buffers.receive(chunk, Step(200))
                #expect(isGood, "seed \(seed)")
            }
            #expect(buffers.assembly.complete == Step(200), "seed \(seed)")
        }
    }

    @Test func aThirdVersionPushesTheOldestOut() {
        var assembly = WeightAssembly(chunkCount: 2)
        #expect(
            assembly.receive(chunk: ChunkIndex(0), version: Step(1))
                == .store(complete: false, abandoned: []))
        #expect(
            assembly.receive(chunk: ChunkIndex(0), version: Step(2))
                == .store(complete: false, abandoned: []))
        #expect(
            assembly.receive(chunk: ChunkIndex(0), version: Step(3))
                == .store(complete: false, abandoned: [Step(1)]))
        // A version older than both open ones is of no use.
        #expect(assembly.receive(chunk: ChunkIndex(1), version: Step(1)) == .drop)
        #expect(
            assembly.receive(chunk: ChunkIndex(1), version: Step(3))
                == .store(complete: true, abandoned: [Step(2)]))
        #expect(assembly.complete == Step(3))
        #expect(assembly.receive(chunk: ChunkIndex(1), version: Step(2)) == .drop)
        #expect(assembly.receive(chunk: ChunkIndex(0), version: Step(3)) == .drop)
    }

    @Test func foreignChunksAreDropped() {
        var assembly = WeightAssembly(chunkCount: 2)
        for chunk in [-1, 2, Int.max, Int.min].map(ChunkIndex.init) {
            #expect(assembly.receive(chunk: chunk, version: Step(1)) == .drop)
        }
        #expect(assembly == WeightAssembly(chunkCount: 2))
    }

    @Test func whatToAskFor() {
        var assembly = WeightAssembly(chunkCount: 3)
        #expect(assembly.wanted == nil)
        #expect(assembly.missing.map(\.value) == [0, 1, 2])
        _ = assembly.receive(chunk: ChunkIndex(1), version: Step(4))
        // Two chunks have not arrived in any version, so any version may be the next.
        #expect(assembly.wanted == nil)
        _ = assembly.receive(chunk: ChunkIndex(0), version: Step(5))
        _ = assembly.receive(chunk: ChunkIndex(2), version: Step(5))
        // Chunk 1's shard may still be at version 4, which the other shards can still send.
        #expect(assembly.wanted == Step(4))
        #expect(assembly.missing.map(\.value) == [0, 2])
        _ = assembly.receive(chunk: ChunkIndex(0), version: Step(4))
        _ = assembly.receive(chunk: ChunkIndex(2), version: Step(4))
        #expect(assembly.complete == Step(4))
        #expect(assembly.wanted == Step(5))
        #expect(assembly.missing.map(\.value) == [1])
        _ = assembly.receive(chunk: ChunkIndex(1), version: Step(5))
        #expect(assembly.complete == Step(5))
        #expect(assembly.wanted == Step(6))
        #expect(assembly.missing.map(\.value) == [0, 1, 2])
    }

    @Test func resetForgetsEverything() {
        var assembly = WeightAssembly(chunkCount: 1)
        _ = assembly.receive(chunk: ChunkIndex(0), version: Step(9))
        assembly.reset()
        #expect(assembly == WeightAssembly(chunkCount: 1))
        #expect(
            assembly.receive(chunk: ChunkIndex(0), version: Step(2))
                == .store(complete: true, abandoned: []))
    }
}
