import ClusterProtocol

/// The files that a crash of the coordinator leaves: the journal and the checkpoints.
///
/// A crash in the middle of a write leaves any prefix of a line, or a checkpoint without some of
/// its pieces. The next coordinator must tell both from complete ones.
struct SimulatedDisk {
    /// The parts of each chunk's state, by chunk index.
    typealias State = [ChunkIndex: [[Float]]]

    /// The bytes of the journal. A line holds the number of an entry. Most prefixes of a number are
    /// numbers too, so only the missing newline shows that a line is torn.
    private(set) var journal: [UInt8] = []
    private var entries: [JournalEntry] = []
    /// Complete and torn checkpoints, as a directory would list them.
    private var directory: [Step: State] = [:]
    /// The number of lines that a crash cut off in the middle.
    private(set) var tornLineCount = 0

    /// Appends an entry's line, or only its first `byteCount` bytes when a crash interrupts the
    /// write.
    mutating func append(_ entry: JournalEntry, byteCount: Int? = nil) {
        let line = Array("\(entries.count)\n".utf8)
        entries.append(entry)
        let kept = line.prefix(byteCount ?? line.count)
        if !kept.isEmpty, kept.count < line.count { tornLineCount += 1 }
        journal += kept
    }

    /// The length of the next entry's line in bytes.
    var nextLineByteCount: Int { "\(entries.count)\n".utf8.count }

    /// Reads the journal as a new coordinator does, and cuts off a torn line.
    mutating func readJournal() -> [JournalEntry] {
        let whole = WholeLines(journal)
        journal.removeLast(journal.count - whole.byteCount)
        return whole.lines.compactMap { line in
            let number = Int(String(decoding: line, as: UTF8.self)) ?? -1
            return entries.indices.contains(number) ? entries[number] : nil
        }
    }

    mutating func write(_ state: State, step: Step) { directory[step] = state }

    /// Writes only the first pieces of a checkpoint.
    mutating func tear(_ state: State, step: Step, pieceCount: Int) {
        let kept = state.sorted { $0.key < $1.key }.prefix(pieceCount)
        directory[step] = Dictionary(uniqueKeysWithValues: Array(kept))
    }

    /// Returns a checkpoint if it exists and is complete, which means that it has as many pieces as
    /// the checkpoint of step 0.
    func checkpoint(_ step: Step) -> State? {
        directory[step].flatMap { $0.count == directory[Step(0)]?.count ? $0 : nil }
    }

    /// The step of the newest complete checkpoint.
    var newest: Step {
        directory.keys.sorted(by: >).first { checkpoint($0) != nil } ?? Step(0)
    }
}
