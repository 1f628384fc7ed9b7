import CounterRandom
import Partitions
import Testing

@Suite struct BatchPlanTests {
    /// Returns a plan with random partition sizes, batch size, virtual workers and seed; some
    /// partitions are empty.
    private func randomPlan(_ random: inout RandomStream) throws -> BatchPlan {
        let counts = (0...random.next(below: 12)).map { _ in random.next(below: 40) } + [1]
        let virtualWorkerCount = 1 + random.next(below: 9)
        return try BatchPlan(
            partitionRecordCounts: counts,
            batchSize: virtualWorkerCount * (1 + random.next(below: 8)),
            virtualWorkerCount: virtualWorkerCount, seed: random.next())
    }

    @Test func everyRecordIsTakenOnceAnEpoch() throws {
        var random = RandomStream(seed: 1, purpose: .simulation)
        for round in 0..<2000 {
            let plan = try randomPlan(&random)
            let count = plan.partitionRecordCounts.reduce(0, +)
            #expect(plan.recordCount == count)
            #expect(plan.stepsPerEpoch == (count + plan.batchSize - 1) / plan.batchSize)
            let orders = OrderCache(plan: plan)
            let epoch = random.next(below: 3)
            var uses = [Int](repeating: 0, count: count)
            for stepInEpoch in 0..<plan.stepsPerEpoch {
                let step = epoch * plan.stepsPerEpoch + stepInEpoch
                #expect(plan.epoch(ofStep: step) == epoch)
                #expect(plan.stepInEpoch(step) == stepInEpoch)
                var stepCount = 0
                for virtualWorker in 0..<plan.virtualWorkerCount {
                    let records = orders.records(step: step, virtualWorker: virtualWorker)
                    #expect(records.count <= plan.microbatchSize)
                    stepCount += records.count
                    for record in records { uses[Int(record)] += 1 }
                }
                #expect(stepCount > 0, "round \(round): empty step \(step) of \(plan)")
                #expect(stepCount == plan.recordCount(step: step))
            }
            #expect(uses.allSatisfy { $0 == 1 }, "round \(round): \(plan)")
        }
    }

    @Test func stretchesAreEvenAndFollowThePartitions() throws {
        var random = RandomStream(seed: 2, purpose: .simulation)
        for _ in 0..<500 {
            let plan = try randomPlan(&random)
            let stretches = (0..<plan.virtualWorkerCount).map { plan.stretch(virtualWorker: $0) }
            let lengths = stretches.map(\.count)
            #expect(lengths.max()! - lengths.min()! <= 1)
            #expect(stretches.first?.lowerBound == 0)
            #expect(stretches.last?.upperBound == plan.recordCount)
            // The pieces of all stretches, in order, are the partitions in the epoch's order.
            var sequence: [Int] = []
            for virtualWorker in stretches.indices {
                let pieces = plan.pieces(epoch: 4, virtualWorker: virtualWorker)
                #expect(pieces.reduce(0) { $0 + $1.records.count } == lengths[virtualWorker])
                sequence += pieces.flatMap { Array($0.records) }
            }
            var expected: [Int] = []
            for partition in plan.partitionOrder(epoch: 4) {
                let start = plan.partitionRecordCounts[..<partition].reduce(0, +)
                expected += start..<start + plan.partitionRecordCounts[partition]
            }
            #expect(sequence == expected)
        }
    }

    @Test func equalPartitionsAreDealtWhole() throws {
        let plan = try BatchPlan(
            partitionRecordCounts: [Int](repeating: 50, count: 8), batchSize: 16,
            virtualWorkerCount: 4,
            seed: 3)
        var dealt: [Int] = []
        for virtualWorker in 0..<4 {
            let pieces = plan.pieces(epoch: 1, virtualWorker: virtualWorker)
            #expect(pieces.count == 2)
            for piece in pieces {
                #expect(piece.records == piece.partition * 50..<piece.partition * 50 + 50)
                dealt.append(piece.partition)
            }
        }
        #expect(dealt.sorted() == Array(0..<8))
    }

    @Test func seedsEpochsAndVirtualWorkersDiffer() throws {
        func plan(seed: UInt64) throws -> BatchPlan {
            try BatchPlan(
                partitionRecordCounts: [100, 100, 100, 100], batchSize: 20, virtualWorkerCount: 4,
                seed: seed)
        }
        let (first, second) = (try plan(seed: 1), try plan(seed: 2))
        #expect(first.order(epoch: 0, virtualWorker: 0) != second.order(epoch: 0, virtualWorker: 0))
        #expect(first.order(epoch: 0, virtualWorker: 0) != first.order(epoch: 1, virtualWorker: 0))
        #expect(Set((0..<20).map { first.partitionOrder(epoch: $0) }).count > 5)
        let same = try plan(seed: 1)
        #expect(first.order(epoch: 7, virtualWorker: 3) == same.order(epoch: 7, virtualWorker: 3))
        // Records are shuffled within the stretch.
        #expect(
            first.order(epoch: 0, virtualWorker: 0)
                != first.order(epoch: 0, virtualWorker: 0).sorted())
    }

    /// The numbers come from a second implementation of the generator and the dealing, in Python.
    /// Checkpoints and the promise of equal weights rest on this order: it must never change.
    @Test func theOrderIsFixed() throws {
        let plan = try BatchPlan(
            partitionRecordCounts: [7, 0, 12, 5, 9], batchSize: 6, virtualWorkerCount: 3, seed: 42)
        #expect(plan.partitionOrder(epoch: 2) == [2, 3, 0, 4, 1])
        #expect(
            plan.order(epoch: 2, virtualWorker: 1)
                == [19, 18, 1, 2, 22, 21, 23, 4, 3, 20, 0])
        let large = try BatchPlan(
            partitionRecordCounts: [Int](repeating: 7500, count: 8), batchSize: 64,
            virtualWorkerCount: 4, seed: 1)
        var digest: UInt64 = 0
        for virtualWorker in 0..<4 {
            for record in large.order(epoch: 9, virtualWorker: virtualWorker) {
                digest = mix64(digest ^ record)
            }
        }
        #expect(digest == 4_321_940_836_303_847_402)
    }

    @Test func numbersThatCannotWorkAreRefusedWithAdvice() throws {
        func error(_ counts: [Int], _ batchSize: Int, _ virtualWorkerCount: Int) -> DataError? {
            dataError {
                try BatchPlan(
                    partitionRecordCounts: counts, batchSize: batchSize,
                    virtualWorkerCount: virtualWorkerCount, seed: 1)
            }
        }
        #expect(error([10], 64, 4) == nil)
        #expect(error([10], 64, 0)?.kind == .badSetting)
        #expect(error([10], 64, -1)?.kind == .badSetting)
        #expect(error([10], 0, 4)?.kind == .badSetting)
        #expect(error([10], 64, 3)?.advice == "use batch-size 63 or virtual-workers 2")
        #expect(error([10], 2, 4)?.advice == "use batch-size 4 or virtual-workers 2")
        #expect(error([10], 64, .max)?.advice.hasSuffix("virtual-workers 64") == true)
        #expect(error([10], .max, 1)?.kind == .badSetting)
        #expect(error([], 64, 4)?.kind == .emptySet)
        #expect(error([0, 0], 64, 4)?.kind == .emptySet)
    }
}
