import CounterRandom
import Partitions
import Testing

@Suite struct LedgerTests {
    private let plan: BatchPlan
    private let entries: [LedgerEntry]

    init() throws {
        let plan = try BatchPlan(
            partitionRecordCounts: [20, 17, 6], batchSize: 8, virtualWorkerCount: 4, seed: 5)
        self.plan = plan
        // Three epochs, made from the orders and not by the checker.
        entries = (0..<3 * plan.stepsPerEpoch).map { step in
            var entry = LedgerEntry(
                step: step, epoch: step / plan.stepsPerEpoch, records: 0, digest: 0)
            for virtualWorker in 0..<4 {
                let order = plan.order(epoch: entry.epoch, virtualWorker: virtualWorker)
                let start = (step % plan.stepsPerEpoch) * 2
                for record in order.dropFirst(start).prefix(2) {
                    entry.records += 1
                    entry.digest &+= mix64(record &+ 1)
                }
            }
            return entry
        }
    }

    @Test func aTrueLedgerIsAccepted() throws {
        #expect(plan.stepsPerEpoch == 6)
        #expect(
            LedgerChecker.firstDifference(plan: plan, entries: entries, stepCount: entries.count)
                == nil)
        var checker = LedgerChecker(plan: plan)
        for entry in entries.dropLast() { try checker.add(entry) }
        #expect(checker.completeEpochCount == 2)
        try checker.add(entries.last!)
        #expect(checker.completeEpochCount == 3)
        var late = LedgerChecker(plan: plan, firstStep: 4)
        for entry in entries.dropFirst(4) { try late.add(entry) }
        #expect(late.completeEpochCount == 2)
    }

    @Test func theFirstDifferenceIsReported() {
        func difference(_ change: (inout [LedgerEntry]) -> Void) -> LedgerChecker.Difference? {
            var changed = entries
            change(&changed)
            return LedgerChecker.firstDifference(
                plan: plan, entries: changed, stepCount: entries.count)
        }
        #expect(difference { $0[3].digest ^= 1 }?.step == 3)
        #expect(difference { $0[3].digest ^= 1 }?.what == "digest of the records")
        #expect(difference { $0[4].records -= 1 }?.what == "records")
        #expect(difference { $0[5].epoch = 1 }?.what == "epoch")
        #expect(difference { $0.remove(at: 2) }?.what == "missing step")
        #expect(difference { $0.insert($0[2], at: 2) }?.what == "repeated step")
        #expect(difference { $0.swapAt(1, 2) }?.step == 1)
        #expect(difference { $0.removeLast() }?.what == "end of the ledger")
    }

    @Test func linesComeBack() throws {
        let entry = LedgerEntry(step: 3, epoch: 0, records: 64, digest: 0xC0FF_EE00)
        #expect(entry.line == #"{"step":3,"epoch":0,"records":64,"digest":"00000000c0ffee00"}"#)
        #expect(try LedgerEntry(line: entry.line) == entry)
        let more = #"{"digest":"ff","step":1,"epoch":2,"records":3,"loss":0.5}"#
        #expect(
            try LedgerEntry(line: more) == LedgerEntry(step: 1, epoch: 2, records: 3, digest: 255))
        for line in ["", "{}", #"{"step":1,"epoch":0,"records":1,"digest":"xyz"}"#, "[1]"] {
            #expect(throws: DataError.self) { try LedgerEntry(line: line) }
        }
    }
}

/// A run whose order of records was changed during training.
@Suite struct LedgerStretchTests {
    private let before: BatchPlan
    private let after: BatchPlan

    init() throws {
        before = try BatchPlan(
            partitionRecordCounts: [20, 17, 6], batchSize: 8, virtualWorkerCount: 4, seed: 5)
        after = try BatchPlan(
            partitionRecordCounts: [22, 21], batchSize: 10, virtualWorkerCount: 5, seed: 5)
    }

    /// Returns the entry of a step, made from the orders and not by the checker.
    private func entry(_ plan: BatchPlan, _ step: Int) -> LedgerEntry {
        var entry = LedgerEntry(
            step: step, epoch: step / plan.stepsPerEpoch, records: 0, digest: 0)
        for virtualWorker in 0..<plan.virtualWorkerCount {
            let order = plan.order(epoch: entry.epoch, virtualWorker: virtualWorker)
            for record in order.dropFirst(step % plan.stepsPerEpoch * 2).prefix(2) {
                entry.records += 1
                entry.digest &+= mix64(record &+ 1)
            }
        }
        return entry
    }

    private func check(_ first: BatchPlan?, _ entries: [LedgerEntry]) throws -> Int {
        var checker = LedgerChecker(stretches: [
            LedgerStretch(firstStep: 0, plan: first), LedgerStretch(firstStep: 8, plan: after),
        ])
        for entry in entries { try checker.add(entry) }
        return checker.completeEpochCount
    }

    @Test func eachStretchHasItsOwnPlan() throws {
        #expect(before.stepsPerEpoch == 6 && after.stepsPerEpoch == 5)
        let entries = (0..<20).map { entry($0 < 8 ? before : after, $0) }
        // Steps 0 to 5 before, and 10 to 14 and 15 to 19 after, are whole epochs; the steps between
        // are not.
        #expect(try check(before, entries) == 3)
        #expect(throws: LedgerChecker.Difference.self) {
            try check(before, (0..<20).map { entry(before, $0) })
        }
        #expect(throws: LedgerChecker.Difference.self) {
            try check(before, (0..<20).map { entry(after, $0) })
        }
    }

    /// The data of a stretch is gone: its steps must be there, and cannot be checked further.
    @Test func aStretchWithoutData() throws {
        let entries = (0..<20).map { entry($0 < 8 ? before : after, $0) }
        #expect(try check(nil, entries) == 2)
        #expect(throws: LedgerChecker.Difference.self) {
            try check(nil, Array(entries[..<3] + entries[4...]))
        }
    }
}
