import SafeTensors
import Synchronization
import Threads

/// Keeps partitions of a data set in memory, within a limit, and the files of the others open.
///
/// A partition that fits is loaded as a whole and checked when it is first asked for. To make room,
/// the partition that has been unused for longest is dropped; one that is in use never is. A partition
/// that does not fit is checked by reading its file once, slice by slice; its labels or targets stay
/// in memory, and its images are read one by one. So no partition is loaded and dropped in turns: one
/// that was not kept is loaded only after as many of its records were read singly as it has, and then
/// only in place of one that is not in use.
///
/// Images in files are not mapped into memory but read. A mapped file that becomes shorter would kill
/// the process, and mapped pages would count as the process's memory. The system's own cache of files
/// holds what fits beside the processes.
///
/// Memory: the limit, and four bytes for each label or target. Threading: any thread. Two threads that
/// want the same partition load or check it once.
final class PartitionCache: Sendable {
    /// The way to read a record of a partition.
    enum Access {
        /// The whole partition is in memory.
        case memory(PartitionContent)
        /// The labels or targets are in memory; the images are in an open file.
        case file(OpenPartition)
    }

    private enum Residence {
        case absent
        case loading
        case loaded(PartitionContent, lastUse: UInt64)
        /// The file was found to be good, and no image of it is in memory.
        case checked(CheckedPartition, Uses)
    }

    /// The use of a partition that is not in memory.
    private struct Uses {
        /// The open file; nil when it was closed in favour of others.
        var file: ReadOnlyFile?
        var last: UInt64
        var count = 0
    }

    private struct State {
        var residences: [Residence]
        /// The bytes of partitions in memory, and of those that are being loaded.
        var byteCount = 0
        /// The number of accesses so far; it orders the last uses.
        var clock: UInt64 = 0
        var openFileCount = 0
    }

    private enum Step {
        case use(Access)
        case open(CheckedPartition)
        /// Load the partition, for which there is room.
        case load
        /// Check the partition's file.
        case check
    }

    /// A partition counts as in use when one of the last so many accesses used it.
    private static let recentAccessCount: UInt64 = 4096
    /// The limit on files that stay open, far below the 1,024 that a process usually may have.
    private static let maximumOpenFileCount = 256

    /// The files of the partitions.
    let files: any PartitionFiles
    private let entries: [PartitionManifest.Entry]
    private let byteLimit: Int
    private let monitor: Monitor<State>
    private let readsFiles = Atomic(false)

    init(files: any PartitionFiles, memoryLimitByteCount: Int) {
        self.files = files
        entries = files.manifest.training + files.manifest.test
        byteLimit = memoryLimitByteCount
        monitor = Monitor(State(residences: Array(repeating: .absent, count: entries.count)))
    }

    /// Whether some partition is read from its file.
    var hasFiles: Bool { readsFiles.load(ordering: .relaxed) }

    /// Returns the way to read from a partition, after loading or checking it where that is necessary.
    ///
    /// - Parameter index: the partition's number, counted through the training partitions and then
    ///   the test partitions.
    func access(_ index: Int) throws(DataError) -> Access {
        switch monitor.wait(until: { next(index, &$0) }) {
        case .use(let access): return access
        case .open(let partition): return try open(index, partition)
        case .load: return .memory(try load(index))
        case .check: return try check(index)
        }
    }

    /// Loads or checks a partition that will be needed, unless it is not on this host yet. Nothing is
    /// dropped for it. An error is left to the access that needs the partition.
    func openAhead(_ index: Int) {
        guard files.isHere(files.manifest.reference(place: index)) else { return }
        let step = monitor.look { state -> Step? in
            guard case .absent = state.residences[index] else { return nil }
            state.residences[index] = .loading
            guard size(index) <= byteLimit, state.byteCount <= byteLimit - size(index) else {
                return .check
            }
            state.byteCount += size(index)
            return .load
        }
        do throws(DataError) {
            switch step {
            case .load: _ = try load(index)
            case .check: _ = try check(index)
            default: break
            }
        } catch {}
    }

    /// Returns a partition that is read from its open file; nil for any other.
    func openPartition(_ index: Int) -> OpenPartition? {
        monitor.look { state in
            guard case .checked(let partition, let uses) = state.residences[index],
                let file = uses.file
            else { return nil }
            return OpenPartition(partition: partition, file: file)
        }
    }

    /// Forgets that a partition's file was good: it was written to since. The next access checks it
    /// again.
    func forget(_ index: Int, _ partition: CheckedPartition) {
        monitor.change { state in
            guard case .checked(let known, let uses) = state.residences[index], known === partition
            else { return }
            if uses.file != nil { state.openFileCount -= 1 }
            state.residences[index] = .absent
        }
    }

    /// Decides what an access to a partition has to do; nil while another thread loads or checks it.
    private func next(_ index: Int, _ state: inout State) -> Step? {
        state.clock += 1
        switch state.residences[index] {
        case .loading: return nil
        case .loaded(let content, _):
            state.residences[index] = .loaded(content, lastUse: state.clock)
            return .use(.memory(content))
        case .checked(let partition, var uses):
            uses.last = state.clock
            uses.count += 1
            if uses.count > entries[index].records {
                if makeRoom(size(index), in: &state) {
                    if uses.file != nil { state.openFileCount -= 1 }
                    state.byteCount += size(index)
                    state.residences[index] = .loading
                    return .load
                }
                uses.count = 0
            }
            state.residences[index] = .checked(partition, uses)
            guard let file = uses.file else { return .open(partition) }
            return .use(.file(OpenPartition(partition: partition, file: file)))
        case .absent:
            state.residences[index] = .loading
            guard makeRoom(size(index), in: &state) else { return .check }
            state.byteCount += size(index)
            return .load
        }
    }

    /// Returns about the size of a partition's file in bytes, computed from the manifest.
    private func size(_ index: Int) -> Int {
        let manifest = files.manifest
        let answerByteCount = 4 * (manifest.targets ?? 1)
        return entries[index].records
            * (manifest.elementCount * manifest.dtype.byteCount + answerByteCount)
    }

    // MARK: In memory

    /// Loads and checks a partition, for which there is room.
    private func load(_ index: Int) throws(DataError) -> PartitionContent {
        do throws(DataError) {
            let content = try content(index)
            monitor.change { state in
                state.byteCount += content.byteCount - size(index)
                state.residences[index] = .loaded(content, lastUse: state.clock)
            }
            return content
        } catch {
            monitor.change { state in
                state.byteCount -= size(index)
                state.residences[index] = .absent
            }
            throw error
        }
    }

    private func content(_ index: Int) throws(DataError) -> PartitionContent {
        let reference = files.manifest.reference(place: index)
        return try PartitionContent(files.load(reference), reference, manifest: files.manifest)
    }

    /// Loads and checks a partition that no disk keeps, and for which there seems to be no room.
    private func keep(_ index: Int) throws(DataError) -> PartitionContent {
        let content = try content(index)
        let hasRoom = monitor.change { state in
            guard makeRoom(content.byteCount, in: &state) else { return false }
            state.byteCount += content.byteCount
            state.residences[index] = .loaded(content, lastUse: state.clock)
            return true
        }
        guard hasRoom else {
            throw DataError(
                .unwritable, file: "\(files.manifest.reference(place: index))",
                what: "memory for what no disk keeps",
                expected: "at most \(byteLimit) bytes in use", found: "\(content.byteCount) more",
                advice: "give --cache a directory with free space, or a larger --data-memory")
        }
        return content
    }

    /// Drops partitions that are not in use until `byteCount` more bytes fit. Returns false when
    /// they cannot fit. Only partitions that a disk keeps are dropped.
    private func makeRoom(_ byteCount: Int, in state: inout State) -> Bool {
        guard byteCount <= byteLimit else { return false }
        while state.byteCount > byteLimit - byteCount {
            var victim: (index: Int, content: PartitionContent, lastUse: UInt64)?
            for (index, residence) in state.residences.enumerated() {
                guard case .loaded(let content, let lastUse) = residence, content.isOnDisk else {
                    continue
                }
                if victim == nil || lastUse < victim!.lastUse { victim = (index, content, lastUse) }
            }
            guard let victim, victim.lastUse + Self.recentAccessCount < state.clock else {
                return false
            }
            state.byteCount -= victim.content.byteCount
            readsFiles.store(true, ordering: .relaxed)
            state.residences[victim.index] = .checked(
                CheckedPartition(victim.content), Uses(file: nil, last: victim.lastUse))
        }
        return true
    }

    // MARK: In files

    /// Checks a partition's file and keeps it open. A partition that no disk keeps goes into memory.
    private func check(_ index: Int) throws(DataError) -> Access {
        do throws(DataError) {
            let reference = files.manifest.reference(place: index)
            let manifest = files.manifest
            let open = try files.checked(reference) { (file) throws(DataError) in
                OpenPartition(
                    partition: try CheckedPartition(file, reference, manifest: manifest), file: file)
            }
            guard let open else { return .memory(try keep(index)) }
            open.file.expectRandomReads()
            readsFiles.store(true, ordering: .relaxed)
            monitor.change { hold(index, open, count: 0, in: &$0) }
            return .file(open)
        } catch {
            monitor.change { $0.residences[index] = .absent }
            throw error
        }
    }

    /// Opens the file of a checked partition again.
    private func open(_ index: Int, _ partition: CheckedPartition) throws(DataError) -> Access {
        let file = try files.reopen(files.manifest.reference(place: index))
        guard partition.isOf(file) else {
            forget(index, partition)
            return try access(index)
        }
        file.expectRandomReads()
        let open = OpenPartition(partition: partition, file: file)
        monitor.change { state in
            guard case .checked(let known, let uses) = state.residences[index], known === partition,
                uses.file == nil
            else { return }
            hold(index, open, count: uses.count, in: &state)
        }
        return .file(open)
    }

    /// Keeps a file open, and closes the one that has been unused for longest if there are too many.
    private func hold(_ index: Int, _ open: OpenPartition, count: Int, in state: inout State) {
        if state.openFileCount == Self.maximumOpenFileCount {
            var oldest: (index: Int, partition: CheckedPartition, uses: Uses)?
            for (index, residence) in state.residences.enumerated() {
                guard case .checked(let partition, let uses) = residence, uses.file != nil else {
                    continue
                }
                if oldest == nil || uses.last < oldest!.uses.last {
                    oldest = (index, partition, uses)
                }
            }
            if var oldest {
                oldest.uses.file = nil
                state.residences[oldest.index] = .checked(oldest.partition, oldest.uses)
                state.openFileCount -= 1
            }
        }
        state.openFileCount += 1
        state.residences[index] = .checked(
            open.partition, Uses(file: open.file, last: state.clock, count: count))
    }
}
