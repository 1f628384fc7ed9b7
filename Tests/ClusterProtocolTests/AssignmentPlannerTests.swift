import ClusterProtocol
import CounterRandom
import TestSupport
import Testing

@Suite struct AssignmentPlannerTests {
    typealias Candidate = AssignmentPlanner.Candidate

    private static func candidates(_ weights: [Double]) -> [Candidate] {
        weights.enumerated().map {
            Candidate(identity: PeerIdentity(rawValue: "worker-\($0.offset)"), weight: $0.element)
        }
    }

    private static func shares(
        _ deal: AssignmentPlanner.Deal, _ candidates: [Candidate]
    ) -> [[Int]] {
        candidates.map { (deal[$0.identity] ?? []).map(\.value) }
    }

    private static func all(_ count: Int) -> Range<VirtualWorkerIndex> {
        ReductionTree(leafCount: count).virtualWorkers
    }

    private static func contiguous(_ count: Int, _ weights: [Double]) -> [[Int]] {
        let candidates = candidates(weights)
        return shares(
            AssignmentPlanner.contiguous(all(count), candidates: candidates), candidates)
    }

    @Test func equalWorkersGetEqualShares() {
        #expect(Self.contiguous(4, [1, 1]) == [[0, 1], [2, 3]])
        #expect(Self.contiguous(5, [1, 1]) == [[0, 1, 2], [3, 4]])
        #expect(Self.contiguous(4, [1]) == [[0, 1, 2, 3]])
        #expect(Self.contiguous(2, [1, 1, 1]) == [[0], [1], []])
    }

    @Test func sharesFollowTheWeights() {
        #expect(Self.contiguous(8, [3, 1]) == [[0, 1, 2, 3, 4, 5], [6, 7]])
        #expect(Self.contiguous(6, [1, 2]) == [[0, 1], [2, 3, 4, 5]])
        #expect(Self.contiguous(4, [1, 100]) == [[], [0, 1, 2, 3]])
    }

    @Test func nobodyGetsNothing() {
        #expect(AssignmentPlanner.contiguous(Self.all(4), candidates: []).isEmpty)
        #expect(AssignmentPlanner.completed([:], of: Self.all(4), candidates: []).isEmpty)
    }

    @Test func randomDealsCoverEveryVirtualWorkerOnce() {
        for seed in TestSeed.seeds(3_000) {
            var random = RandomStream(seed: seed, purpose: .simulation, 5)
            let weights = (0..<(1 + random.next(below: 8))).map { _ in
                Double(1 + random.next(below: 16))
            }
            let count = 1 + random.next(below: 100)
            let shares = Self.contiguous(count, weights)
            // The shares are in the candidates' order, without gap or overlap.
            #expect(Array(shares.joined()) == Array(0..<count), "seed \(seed)")
            // No candidate with one virtual worker more would end before the slowest one.
            let times = zip(shares, weights).map { Double($0.count) / $1 }
            let slowest = times.max() ?? 0
            for (share, weight) in zip(shares, weights) {
                let oneMore = Double(share.count + 1) / weight
                #expect(oneMore >= slowest - 1e-9, "seed \(seed): \(shares.map(\.count)) \(weights)")
            }
        }
    }

    /// Some candidates are gone: the others keep all they have, and only orphans move.
    @Test func completionMovesOnlyOrphans() {
        for seed in TestSeed.seeds(3_000) {
            var random = RandomStream(seed: seed, purpose: .simulation, 6)
            let weights = (0..<(2 + random.next(below: 7))).map { _ in
                Double(1 + random.next(below: 4))
            }
            let virtualWorkers = Self.all(1 + random.next(below: 60))
            let all = Self.candidates(weights)
            let deal = AssignmentPlanner.contiguous(virtualWorkers, candidates: all)
            let left = all.filter { _ in random.next(below: 3) > 0 }
            guard !left.isEmpty else { continue }
            let completed = AssignmentPlanner.completed(
                deal, of: virtualWorkers, candidates: left)
            let dealt = completed.values.joined().sorted()
            #expect(dealt == Array(virtualWorkers), "seed \(seed)")
            #expect(Set(completed.keys) == Set(left.map(\.identity)), "seed \(seed)")
            for candidate in left {
                let kept = Set(deal[candidate.identity] ?? [])
                let has = completed[candidate.identity] ?? []
                #expect(kept.isSubset(of: has) && has == has.sorted(), "seed \(seed)")
            }
        }
    }

    @Test func orphansGoToWhoIsDoneFirst() {
        let candidates = Self.candidates([1, 1, 4])
        let deal: AssignmentPlanner.Deal = [
            candidates[0].identity: Array(Self.all(2)),
            candidates[1].identity: [VirtualWorkerIndex(2)],
        ]
        let completed = AssignmentPlanner.completed(deal, of: Self.all(7), candidates: candidates)
        #expect(Self.shares(completed, candidates) == [[0, 1], [2], [3, 4, 5, 6]])
    }

    @Test func aFurtherWorkerWaitsAsASpareUntilTheNextDeal() {
        let candidates = Self.candidates([1, 1])
        let deal = [candidates[0].identity: Array(Self.all(4))]
        let completed = AssignmentPlanner.completed(deal, of: Self.all(4), candidates: candidates)
        #expect(Self.shares(completed, candidates) == [[0, 1, 2, 3], []])
    }
}

@Suite struct InstructionSetTests {
    @Test func theCommonOneIsTheLeast() {
        #expect(InstructionSet.common(["avx512_core", "avx2", "avx512_core_amx"]) == "avx2")
        #expect(InstructionSet.common(["avx2"]) == "avx2")
        #expect(InstructionSet.common(["generic", "avx2"]) == "generic")
        #expect(InstructionSet.common([]) == nil)
    }

    @Test func betterHostsSupportLesserSets() {
        let names = InstructionSet.ascending
        for (low, wanted) in names.enumerated() {
            for (high, available) in names.enumerated() {
                #expect(
                    InstructionSet.supports(available, wanted) == (high >= low),
                    "\(available) for \(wanted)")
            }
        }
    }

    @Test func unknownSetsSupportOnlyThemselves() {
        #expect(InstructionSet.supports("sve_512", "sve_512"))
        #expect(!InstructionSet.supports("sve_512", "generic"))
        #expect(!InstructionSet.supports("avx512_core", "sve_512"))
        #expect(!InstructionSet.supports("", "avx2"))
    }
}
