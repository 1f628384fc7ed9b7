import FoundationEssentials

/// The evidence of which records one step used. The ledger keeps one line of JSON for each step.
public struct LedgerEntry: Sendable, Hashable {
    /// The number of the step, from 0.
    public var step: Int
    /// The epoch that the step belongs to, from 0.
    public var epoch: Int
    /// The number of records that the step used.
    public var records: Int
    /// The sum of the microbatches' record digests, modulo 2^64; see `Microbatch.digest(of:)`.
    public var digest: UInt64

    /// Creates an entry from its parts.
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

    /// The entry as a line of JSON without its line end:
    /// `{"step":3,"epoch":0,"records":64,"digest":"00c0ffee00c0ffee"}`. The digest has 16
    /// hexadecimal digits.
    public var line: String {
        let digits = String(digest, radix: 16)
        let padded = String(repeating: "0", count: 16 - digits.count) + digits
        return #"{"step":\#(step),"epoch":\#(epoch),"records":\#(records),"digest":"\#(padded)"}"#
    }

    /// Parses a line of the ledger. Keys other than the four of an entry are ignored.
    ///
    /// - Throws: `badLedgerLine` when the line is malformed.
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

/// A range of consecutive steps whose records one plan chose. The range ends where the next range
/// begins.
public struct LedgerStretch: Sendable, Hashable {
    /// The first step of the range.
    public var firstStep: Int
    /// The plan of these steps. Nil when the data that the steps used is missing, so that their
    /// records cannot be known.
    public var plan: BatchPlan?

    /// Creates a range of steps that begins at `firstStep`.
    public init(firstStep: Int, plan: BatchPlan?) {
        self.firstStep = firstStep
        self.plan = plan
    }
}

/// Compares a ledger with the plan. It proves that every step used exactly its microbatches, and so
/// that every epoch used every record exactly once.
public struct LedgerChecker: Sendable {
    /// The first place where the ledger and the plan disagree.
    public struct Difference: Error, Sendable, Hashable, CustomStringConvertible {
        /// The step at which they disagree.
        public let step: Int
        /// The property that differs.
        public let what: String
        /// The value that the plan gives.
        public let expected: String
        /// The value in the ledger.
        public let found: String

        /// One line of text: step, property, expected and found value.
        public var description: String {
            "step \(step): \(what): expected \(expected), found \(found)"
        }
    }

    /// The ranges of steps in ascending order; the first one begins with the first step to check.
    private let stretches: [LedgerStretch]
    private var stretchIndex = 0
    /// The step whose entry must come next.
    public private(set) var nextStep: Int
    /// The number of epochs that were seen from their first to their last step within one stretch.
    public private(set) var completeEpochCount = 0
    private var orders: OrderCache?

    /// Creates a checker for a ledger that one plan explains.
    ///
    /// - Parameters:
    ///   - plan: the plan that chose the records.
    ///   - firstStep: the step of the ledger's first entry.
    public init(plan: BatchPlan, firstStep: Int = 0) {
        self.init(stretches: [LedgerStretch(firstStep: firstStep, plan: plan)])
    }

    /// Creates a checker for a ledger whose plan changed on the way.
    ///
    /// - Parameter stretches: at least one range of steps, in ascending order.
    public init(stretches: [LedgerStretch]) {
        precondition(!stretches.isEmpty, "expected at least one stretch, found none")
        self.stretches = stretches
        nextStep = stretches[0].firstStep
        orders = stretches[0].plan.map { OrderCache(plan: $0) }
    }

    /// Returns the entry that the ledger must have for a step; nil when it cannot be known.
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

    /// Checks the next entry of the ledger. The steps must be consecutive: a gap or a repetition is
    /// a difference.
    ///
    /// - Throws: the difference between the entry and the plan.
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

    /// Moves on to the stretch that contains `step`.
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

    /// Returns the first difference between a whole ledger, which begins with step 0, and a plan;
    /// nil when there is none.
    ///
    /// - Parameters:
    ///   - plan: the plan that chose the records.
    ///   - entries: the entries of the ledger.
    ///   - stepCount: the number of steps that the run should have; nil accepts any number.
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
