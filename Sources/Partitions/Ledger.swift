import FoundationEssentials

/// What one step used, as the ledger keeps it: a line of JSON a step.
public struct LedgerEntry: Sendable, Hashable {
    /// From 0.
    public var step: Int
    public var epoch: Int
    public var records: Int
    /// Wrapping sum of the microbatches' record digests.
    public var digest: UInt64

    public init(step: Int, epoch: Int, records: Int, digest: UInt64) {
        self.step = step
        self.epoch = epoch
        self.records = records
        self.digest = digest
    }

    private struct Line: Decodable {
        var step: Int
        var epoch: Int
        var records: Int
        var digest: String
    }

    /// `{"step":3,"epoch":0,"records":64,"digest":"00c0ffee00c0ffee"}`
    public var line: String {
        let digits = String(digest, radix: 16)
        let padded = String(repeating: "0", count: 16 - digits.count) + digits
        return #"{"step":\#(step),"epoch":\#(epoch),"records":\#(records),"digest":"\#(padded)"}"#
    }

    /// Reads a line; other keys may be in it too.
    public init(line: String) throws(DataError) {
        guard let line = try? JSONDecoder().decode(Line.self, from: Data(line.utf8)),
            let digest = UInt64(line.digest, radix: 16)
        else {
            throw DataError(
                .badLedgerLine, file: "ledger", what: "line",
                expected: #"{"step":..,"epoch":..,"records":..,"digest":"hex"}"#, found: "'\(line)'"
            )
        }
        self.init(step: line.step, epoch: line.epoch, records: line.records, digest: digest)
    }
}

/// Steps that were dealt by one plan, from the first of them on.
public struct LedgerStretch: Sendable, Hashable {
    public var firstStep: Int
    /// Nil: the data that these steps used is not there, so their records cannot be told.
    public var plan: BatchPlan?

    public init(firstStep: Int, plan: BatchPlan?) {
        self.firstStep = firstStep
        self.plan = plan
    }
}

/// Compares a ledger with the plan: did every step use exactly its microbatches, and so every epoch
/// every record exactly once?
public struct LedgerChecker: Sendable {
    /// The first place where ledger and plan disagree.
    public struct Difference: Error, Sendable, Hashable, CustomStringConvertible {
        public let step: Int
        public let what: String
        public let expected: String
        public let found: String

        public var description: String {
            "step \(step): \(what): expected \(expected), found \(found)"
        }
    }

    /// In the order of their steps; the first one begins with the first step.
    private let stretches: [LedgerStretch]
    private var stretchIndex = 0
    /// The step that must come next.
    public private(set) var nextStep: Int
    /// Epochs seen from their first to their last step.
    public private(set) var completeEpochCount = 0
    private var orders: OrderCache?

    public init(plan: BatchPlan, firstStep: Int = 0) {
        self.init(stretches: [LedgerStretch(firstStep: firstStep, plan: plan)])
    }

    /// - Parameter stretches: at least one, in the order of their steps.
    public init(stretches: [LedgerStretch]) {
        precondition(!stretches.isEmpty, "expected at least one stretch, found none")
        self.stretches = stretches
        nextStep = stretches[0].firstStep
        orders = stretches[0].plan.map { OrderCache(plan: $0) }
    }

    /// What the ledger must say of a step; nil when that cannot be known.
    private func expected(step: Int) -> LedgerEntry? {
        guard let plan = stretches[stretchIndex].plan, let orders else { return nil }
        var entry = LedgerEntry(step: step, epoch: plan.epoch(ofStep: step), records: 0, digest: 0)
        for virtualWorker in 0..<plan.virtualWorkerCount {
            let records = orders.records(step: step, virtualWorker: virtualWorker)
            entry.records += records.count
            entry.digest &+= Microbatch.digest(of: records)
        }
        return entry
    }

    /// Takes the next line. Steps must follow one another: a gap or a repetition is a difference.
    public mutating func add(_ entry: LedgerEntry) throws(Difference) {
        guard entry.step == nextStep else {
            throw Difference(
                step: nextStep, what: entry.step < nextStep ? "repeated step" : "missing step",
                expected: "step \(nextStep)", found: "step \(entry.step)")
        }
        enterStretch(of: entry.step)
        if let wanted = expected(step: entry.step) { try compare(entry, wanted) }
        nextStep += 1
        guard let plan = stretches[stretchIndex].plan else { return }
        let firstStep = stretches[stretchIndex].firstStep
        if nextStep % plan.stepsPerEpoch == 0, nextStep - firstStep >= plan.stepsPerEpoch {
            completeEpochCount += 1
        }
    }

    private mutating func enterStretch(of step: Int) {
        while stretchIndex + 1 < stretches.count, stretches[stretchIndex + 1].firstStep <= step {
            stretchIndex += 1
            orders = stretches[stretchIndex].plan.map { OrderCache(plan: $0) }
        }
    }

    private func compare(_ entry: LedgerEntry, _ wanted: LedgerEntry) throws(Difference) {
        guard entry.epoch == wanted.epoch else {
            throw Difference(
                step: entry.step, what: "epoch", expected: "\(wanted.epoch)",
                found: "\(entry.epoch)")
        }
        guard entry.records == wanted.records else {
            throw Difference(
                step: entry.step, what: "records", expected: "\(wanted.records)",
                found: "\(entry.records)")
        }
        guard entry.digest == wanted.digest else {
            throw Difference(
                step: entry.step, what: "digest of the records",
                expected: String(wanted.digest, radix: 16), found: String(entry.digest, radix: 16))
        }
    }

    /// The first difference in a whole ledger, or nil.
    ///
    /// - Parameter stepCount: steps the run should have had; nil takes the ledger's own.
    public static func firstDifference(
        plan: BatchPlan, entries: some Sequence<LedgerEntry>, stepCount: Int? = nil
    ) -> Difference? {
        var checker = LedgerChecker(plan: plan)
        do throws(Difference) {
            for entry in entries { try checker.add(entry) }
        } catch {
            return error
        }
        guard let stepCount, checker.nextStep != stepCount else { return nil }
        return Difference(
            step: checker.nextStep, what: "end of the ledger", expected: "\(stepCount) steps",
            found: "\(checker.nextStep)")
    }
}
