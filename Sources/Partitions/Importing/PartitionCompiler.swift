import Checksums
import FoundationEssentials
import Glibc
import SafeTensors
import Synchronization

/// Decodes the records of a plan into partition files of a directory.
///
/// Threads take blocks of records in the order of the partitions. A partition whose last block is
/// done is hashed and gets its final name, and a note of its entry; a later call with the same plan
/// keeps it. So a call that is killed loses no more than the partitions that it was at.
///
/// Memory: a block a thread.
final class PartitionCompiler: Sendable {
    /// What is known of a finished partition beside its file.
    struct Note: Codable, Sendable {
        var entry: PartitionManifest.Entry
        /// The records that were left out, with the reason.
        var skipped: [Skipped]
        /// Remarks, with how many records each is about.
        var remarks: [String: Int]
    }

    /// A record that was left out.
    struct Skipped: Codable, Sendable, Hashable {
        var name: String
        var reason: String
    }

    private let plan: ImportPlan
    private let directory: String
    private let policy: BadRecordPolicy
    private let threadCount: Int
    private let progress: ImportProgress?

    private static let blockByteCount = 1 << 20

    /// A partition that is being written.
    private final class Draft: Sendable {
        let reference: PartitionReference
        let records: [Int]
        let header: [UInt8]
        let path: String
        let blockCount: Int
        private struct State {
            var descriptor: Int32 = -1
            var doneCount = 0
            var failures: [Int: DataError] = [:]
            var remarks: [String: Int] = [:]
        }
        private let state = Mutex(State())

        init(
            _ reference: PartitionReference, _ records: [Int], header: [UInt8], path: String,
            blockSize: Int
        ) {
            self.reference = reference
            self.records = records
            self.header = header
            self.path = path
            blockCount = max(1, (records.count + blockSize - 1) / blockSize)
        }

        deinit { close() }

        func close() {
            state.withLock { state in
                if state.descriptor >= 0 { Glibc.close(state.descriptor) }
                state.descriptor = -1
            }
        }

        /// Returns the file's descriptor, after creating the file where that is necessary.
        func open() throws(DataError) -> Int32 {
            let descriptor = state.withLock { state -> Int32 in
                if state.descriptor < 0 {
                    state.descriptor = Glibc.open(
                        path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
                }
                return state.descriptor
            }
            guard descriptor >= 0 else {
                throw DataError(writing: SystemCallError(path: path, action: "create"))
            }
            return descriptor
        }

        func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(DataError) {
            let descriptor = try open()
            var done = 0
            while done < bytes.count {
                let count = pwrite(
                    descriptor, bytes.baseAddress! + done, bytes.count - done,
                    off_t(offset + done))
                if count < 0 {
                    if errno == EINTR { continue }
                    throw DataError(writing: SystemCallError(path: path, action: "write"))
                }
                done += count
            }
        }

        /// Takes the outcome of a block. Returns whether it was the last one.
        func finishBlock(failures: [Int: DataError], remarks: [String: Int]) -> Bool {
            state.withLock { state in
                state.doneCount += 1
                state.failures.merge(failures) { first, _ in first }
                state.remarks.merge(remarks, uniquingKeysWith: +)
                return state.doneCount == blockCount
            }
        }

        var outcome: (failures: [Int: DataError], remarks: [String: Int]) {
            state.withLock { ($0.failures, $0.remarks) }
        }
    }

    init(
        _ plan: ImportPlan, directory: String, policy: BadRecordPolicy, threadCount: Int,
        progress: ImportProgress?
    ) {
        self.plan = plan
        self.directory = directory
        self.policy = policy
        self.threadCount = threadCount
        self.progress = progress
    }

    /// Writes all partitions that are not there yet.
    ///
    /// - Returns: the notes of all partitions.
    /// - Throws: the error of the first record that cannot be decoded, if the policy does not leave it
    ///   out; `unwritable` when the disk is full.
    func run() throws(DataError) -> [PartitionReference: Note] {
        var notes: [PartitionReference: Note] = [:]
        var drafts: [Draft] = []
        let blockSize = max(1, Self.blockByteCount / max(1, plan.outline.imageByteCount))
        var skippedCount = 0
        for reference in plan.references {
            let records = plan.records(reference.split)[reference.index]
            if let note = finished(reference, records.count) {
                notes[reference] = note
                skippedCount += note.skipped.count
                continue
            }
            drafts.append(
                Draft(
                    reference, records,
                    header: try plan.outline.header(recordCount: records.count),
                    path: "\(directory)/\(name(reference)).draft", blockSize: blockSize))
        }
        let total = plan.training.joined().count + plan.test.joined().count
        let limit = policy.limit(of: total)
        let toDo = drafts.reduce(0) { $0 + $1.records.count }
        let shared = Shared(
            drafts: drafts, blockSize: blockSize, badLimit: limit, badCount: skippedCount,
            doneCount: total - toDo, totalCount: total)
        Parallel.run(min(threadCount, max(1, shared.starts.last!))) { [self] in work(shared) }
        if let failure = shared.failure.withLock({ $0 }) { throw failure.error }
        let found = shared.notes.withLock { $0 }
        return notes.merging(found) { _, new in new }
    }

    /// What the threads of a call share.
    private final class Shared: Sendable {
        let drafts: [Draft]
        let blockSize: Int
        /// The number of each draft's first block, and then the number of all blocks.
        let starts: [Int]
        let badLimit: Int
        let totalCount: Int
        let nextBlock = Atomic(0)
        let badCount: Atomic<Int>
        let doneCount: Atomic<Int>
        let failure = Mutex<(place: Int, error: DataError)?>(nil)
        let notes = Mutex<[PartitionReference: Note]>([:])

        init(
            drafts: [Draft], blockSize: Int, badLimit: Int, badCount: Int, doneCount: Int,
            totalCount: Int
        ) {
            self.drafts = drafts
            self.blockSize = blockSize
            self.badLimit = badLimit
            self.totalCount = totalCount
            self.badCount = Atomic(badCount)
            self.doneCount = Atomic(doneCount)
            starts = drafts.reduce(into: [0]) { $0.append($0.last! + $1.blockCount) }
        }

        /// Keeps the error of the earliest place. Blocks are taken in order, so all earlier ones have
        /// been taken and say whether they fail too.
        func fail(_ place: Int, _ error: DataError) {
            failure.withLock { known in
                if known.map({ place < $0.place }) ?? true { known = (place, error) }
            }
        }

        var hasFailed: Bool { failure.withLock { $0 != nil } }
    }

    /// The body of a thread.
    private func work(_ shared: Shared) {
        let size = plan.outline.imageByteCount
        let buffer = UnsafeMutableRawPointer.allocate(
            byteCount: max(1, shared.blockSize * size), alignment: 64)
        defer { buffer.deallocate() }
        var readers: [DataSplit: any RecordReader] = [:]
        while !shared.hasFailed {
            let block = shared.nextBlock.wrappingAdd(1, ordering: .relaxed).oldValue
            guard block < shared.starts.last! else { return }
            let index = shared.starts.dropFirst().firstIndex { block < $0 }! - 1
            let draft = shared.drafts[index]
            let split = draft.reference.split
            let reader = readers[split] ?? plan.table(split).reader()
            readers[split] = reader
            do throws(DataError) {
                try decode(
                    block - shared.starts[index], of: draft, reader, buffer, shared,
                    place: block)
            } catch {
                shared.fail(block * shared.blockSize, error)
            }
        }
    }

    /// Decodes a block of records and writes it to its place in the file.
    private func decode(
        _ block: Int, of draft: Draft, _ reader: any RecordReader,
        _ buffer: UnsafeMutableRawPointer, _ shared: Shared, place: Int
    ) throws(DataError) {
        let (outline, size) = (plan.outline, plan.outline.imageByteCount)
        let start = block * shared.blockSize
        let range = start..<min(draft.records.count, start + shared.blockSize)
        var failures: [Int: DataError] = [:]
        for index in range {
            do throws(DataError) {
                try reader.read(draft.records[index], into: buffer + (index - start) * size)
            } catch {
                let count = shared.badCount.wrappingAdd(1, ordering: .relaxed).newValue
                guard error.kind != .changed, count <= shared.badLimit else {
                    shared.fail(place * shared.blockSize + index - start, exceeded(error, shared))
                    return
                }
                failures[index] = error
                (buffer + (index - start) * size).initializeMemory(
                    as: UInt8.self, repeating: 0, count: size)
            }
        }
        let imagesOffset = draft.header.count + draft.records.count * outline.answerByteCount
        try draft.write(
            UnsafeRawBufferPointer(start: buffer, count: range.count * size),
            at: imagesOffset + start * size)
        if draft.finishBlock(failures: failures, remarks: reader.takeRemarks()) {
            try finish(draft, shared)
        }
        let done = shared.doneCount.wrappingAdd(range.count, ordering: .relaxed).newValue
        progress?(done, shared.totalCount)
    }

    /// Returns the error that ends the import: that of a record, and that the policy does not allow
    /// it.
    private func exceeded(_ error: DataError, _ shared: Shared) -> DataError {
        guard error.kind != .changed else { return error }
        let advice =
            policy == .fail
            ? "repair or remove it, or leave such records out with data.image.bad-records: skip N"
            : "more records are bad than bad-records \(policy) allows"
        return DataError(
            error.kind, file: error.file, what: error.what, expected: error.expected,
            found: error.found, advice: error.advice.isEmpty ? advice : "\(error.advice); \(advice)")
    }

    // MARK: Finishing

    private func name(_ reference: PartitionReference) -> String {
        PartitionRendering.fileName(reference.split, reference.index)
    }

    private func notePath(_ reference: PartitionReference) -> String {
        "\(directory)/\(name(reference)).json"
    }

    /// Returns the note of a partition that an earlier call has finished.
    private func finished(_ reference: PartitionReference, _ recordCount: Int) -> Note? {
        guard let file = try? ReadOnlyFile(path: notePath(reference)),
            let bytes = try? file.bytes(at: 0, byteCount: file.byteCount),
            let note = try? JSONDecoder().decode(Note.self, from: Data(bytes)),
            note.entry.records + note.skipped.count == recordCount,
            let partition = try? ReadOnlyFile(path: "\(directory)/\(note.entry.file)"),
            let header = try? plan.outline.header(recordCount: note.entry.records),
            partition.byteCount == header.count + note.entry.records
                * (plan.outline.answerByteCount + plan.outline.imageByteCount)
        else { return nil }
        return note
    }

    /// Completes a partition: labels, header, the records that are left out, hash, name and note.
    private func finish(_ draft: Draft, _ shared: Shared) throws(DataError) {
        let (failures, remarks) = draft.outcome
        let table = plan.table(draft.reference.split)
        let kept = draft.records.indices.filter { failures[$0] == nil }
        let header =
            failures.isEmpty ? draft.header : try plan.outline.header(recordCount: kept.count)
        if !failures.isEmpty { try closeGaps(draft, kept, header) }
        let front = header + plan.outline.answers(table, kept.lazy.map { draft.records[$0] })
        var failure: DataError?
        front.withUnsafeBytes { bytes in
            do throws(DataError) { try draft.write(bytes, at: 0) } catch { failure = error }
        }
        if let failure { throw failure }
        let byteCount = front.count + kept.count * plan.outline.imageByteCount
        let descriptor = try draft.open()
        guard ftruncate(descriptor, off_t(byteCount)) == 0 else {
            throw DataError(writing: SystemCallError(path: draft.path, action: "shorten"))
        }
        let entry = PartitionManifest.Entry(
            file: name(draft.reference), records: kept.count,
            histogram: plan.outline.histogram(
                table, kept.lazy.map { draft.records[$0] }, classCount: plan.classCount),
            sha256: try hash(draft, byteCount))
        draft.close()
        let note = Note(
            entry: entry,
            skipped: failures.sorted { $0.key < $1.key }.map {
                Skipped(name: table.name(draft.records[$0.key]), reason: "\($0.value)")
            },
            remarks: remarks)
        try writing { () throws(SystemCallError) in
            try WritableFile.rename(draft.path, to: "\(directory)/\(entry.file)")
        }
        try write(note, draft.reference)
        shared.notes.withLock { $0[draft.reference] = note }
    }

    private func write(_ note: Note, _ reference: PartitionReference) throws(DataError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        guard let data = try? encoder.encode(note) else {
            preconditionFailure("a note of integers and strings did not encode")
        }
        let file = try OpenFile(path: notePath(reference) + ".tmp")
        try file.write([UInt8](data))
        try file.finish(synchronizing: false)
        try writing { () throws(SystemCallError) in
            try WritableFile.rename(notePath(reference) + ".tmp", to: notePath(reference))
        }
    }

    /// Moves the kept records together.
    private func closeGaps(
        _ draft: Draft, _ kept: [Int], _ header: [UInt8]
    ) throws(DataError) {
        let outline = plan.outline
        let former = draft.header.count + draft.records.count * outline.answerByteCount
        let new = header.count + kept.count * outline.answerByteCount
        let descriptor = try draft.open()
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: max(1, outline.imageByteCount), alignment: 64)
        defer { buffer.deallocate() }
        // The front is shorter than before, so each record moves towards the start.
        for (place, index) in kept.enumerated() {
            try readBack(descriptor, draft.path, buffer, at: former + index * outline.imageByteCount)
            try draft.write(UnsafeRawBufferPointer(buffer), at: new + place * outline.imageByteCount)
        }
    }

    private func hash(_ draft: Draft, _ byteCount: Int) throws(DataError) -> String {
        let descriptor = try draft.open()
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: PartitionRendering.sliceByteCount, alignment: 64)
        defer { buffer.deallocate() }
        var hash = SHA256()
        var offset = 0
        while offset < byteCount {
            let part = UnsafeMutableRawBufferPointer(
                rebasing: buffer[..<min(buffer.count, byteCount - offset)])
            try readBack(descriptor, draft.path, part, at: offset)
            hash.update(bufferPointer: UnsafeRawBufferPointer(part))
            offset += part.count
        }
        return hexadecimal(hash.finalize())
    }

    /// Reads what was written before.
    private func readBack(
        _ descriptor: Int32, _ path: String, _ buffer: UnsafeMutableRawBufferPointer, at offset: Int
    ) throws(DataError) {
        var done = 0
        while done < buffer.count {
            let count = pread(
                descriptor, buffer.baseAddress! + done, buffer.count - done, off_t(offset + done))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                throw DataError(reading: SystemCallError(path: path, action: "read back"))
            }
            done += count
        }
    }
}

/// Is called with the number of records that are done, and of all, on any thread.
public typealias ImportProgress = @Sendable (_ done: Int, _ total: Int) -> Void
