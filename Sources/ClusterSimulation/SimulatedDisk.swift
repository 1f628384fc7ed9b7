import ClusterProtocol

/// What a crash of the coordinator leaves: its journal, and its checkpoints.
///
/// A crash in the middle of a write leaves any prefix of a line, and a checkpoint without some of
/// its pieces, both of which whoever comes next must tell from whole ones.
struct SimulatedDisk {
    typealias State = [Int: [[Float]]]

    /// Lines hold the number of an entry: most prefixes of a number are numbers too, and only the
    /// missing newline gives them away.
    private(set) var journal: [UInt8] = []
    private var entries: [JournalEntry] = []
    /// Whole ones and torn ones, as a directory would list them.
    private var directory: [Step: State] = [:]
    private(set) var tornLineCount = 0

    /// Appends an entry; the first `byteCount` bytes of its line alone, when a crash comes.
    mutating func append(_ entry: JournalEntry, byteCount: Int? = nil) {
        let line = Array("\(entries.count)\n".utf8)
        entries.append(entry)
        let kept = line.prefix(byteCount ?? line.count)
        if !kept.isEmpty, kept.count < line.count { tornLineCount += 1 }
        journal += kept
    }

    /// Bytes that the line of the next entry has.
    var nextLineByteCount: Int { "\(entries.count)\n".utf8.count }

    /// Reads the journal as a new coordinator does, and cuts off what is torn.
    mutating func readJournal() -> [JournalEntry] {
        let whole = WholeLines(journal)
        journal.removeLast(journal.count - whole.byteCount)
        return whole.lines.compactMap { line in
            let number = Int(String(decoding: line, as: UTF8.self)) ?? -1
            return entries.indices.contains(number) ? entries[number] : nil
        }
    }

    mutating func write(_ state: State, step: Step) { directory[step] = state }

    /// Writes the first pieces of a checkpoint only.
    mutating func tear(_ state: State, step: Step, pieceCount: Int) {
        let kept = state.sorted { $0.key < $1.key }.prefix(pieceCount)
        directory[step] = Dictionary(uniqueKeysWithValues: Array(kept))
    }

    /// A checkpoint, if it is there and whole: its pieces are as many as in the one of the start.
    func checkpoint(_ step: Step) -> State? {
        directory[step].flatMap { $0.count == directory[Step(0)]?.count ? $0 : nil }
    }

    /// The newest checkpoint that is whole.
    var newest: Step {
        directory.keys.sorted(by: >).first { checkpoint($0) != nil } ?? Step(0)
    }
}
