import ClusterProtocol
import ClusterRuntime
import FoundationEssentials
import Partitions
import RunFiles

/// Readers of the files of a run, and of answers about it.
extension Reader {
    static let ofRecords: [Reader] = [
        Reader(
            "journal", "JournalReader: what a coordinator left to the next one",
            seeds: Seeds.journal
        ) { bytes in
            let recovery = JournalReader.recovery(Array(bytes), now: 1_800_000_000)
            var coordinator = CoordinatorMachine(Cluster.configuration, recovery: recovery)
            for second in [1, 2, 3, 30, 60] {
                _ = coordinator.step(.tick, now: .seconds(second))
                for member in Cluster.members {
                    let hello = ControlMessage.hello(Cluster.hello(member))
                    _ = coordinator.step(.message(hello, from: member), now: .seconds(second))
                    let ready = ControlMessage.ready(Cluster.ready)
                    _ = coordinator.step(.message(ready, from: member), now: .seconds(second))
                }
            }
            try Cluster.show(coordinator.status(now: .seconds(61)))
            // Every line may be passed over, so what counts is whether one line was read.
            return recovery == CoordinatorMachine.Recovery() ? .refused : .taken
        },
        Reader("ledger", "LedgerEntry: what each step used", seeds: Seeds.ledger) { bytes in
            var entries: [LedgerEntry] = []
            for line in WholeLines(Array(bytes)).lines {
                let entry = try LedgerEntry(line: String(decoding: line, as: UTF8.self))
                let again = try ReaderFlaw.reread("ledger") { try LedgerEntry(line: entry.line) }
                try ReaderFlaw.require(again, equals: entry, "line of the ledger")
                entries.append(entry)
            }
            _ = LedgerChecker.firstDifference(
                plan: Cluster.batchPlan, entries: entries, stepCount: 4)
            return entries.isEmpty ? .refused : .taken
        },
        Reader(
            "status", "StatusTable and StatusJSON: a coordinator's answer", maximumByteCount: 8192,
            seeds: Seeds.status
        ) { bytes in
            guard case .status(let status) = try ControlCodec.decode(Array(bytes)) else {
                return .refused
            }
            try Cluster.show(status)
            return .taken
        },
        Reader(
            "summary", "StatusQuery: summary.json of a run that has ended", seeds: Seeds.summary
        ) { bytes in
            let run = try StatusQuery.FinishedRun(Array(bytes), run: "run", file: "summary.json")
            try show(.finished(run))
            return .taken
        },
        Reader(
            "checkpoint-state", "CheckpointState: state.json of a checkpoint",
            seeds: Seeds.checkpointState
        ) { bytes in
            let state = try CheckpointReader.state(Array(bytes), file: "state.json")
            let again = try ReaderFlaw.reread("state.json") {
                try CheckpointReader.state(Seeds.json(state), file: "state.json")
            }
            try ReaderFlaw.require(again, equals: state, "state.json")
            return .taken
        },
    ]

    static func show(_ answer: StatusQuery.Answer) throws(ReaderFlaw) {
        for line in StatusTable.lines(answer) { try Text.requireLine(line) }
        let json = StatusJSON.text(answer)
        try Text.requireLine(json)
        try Text.requireJSON(json)
    }
}
