import SafeTensors
import Threads

/// Keeps partitions of a data set in memory, within a limit.
///
/// A partition is loaded and checked when it is first asked for. To make room, the partition that
/// has been unused for longest is dropped. When all partitions in memory are in use, a partition
/// that was checked before is read record by record instead. Without this rule a virtual worker
/// that reads from more partitions at once than fit would load a whole partition for every record.
///
/// Threading: any thread. Two threads that want the same partition load it once.
final class PartitionCache: Sendable {
    /// The way to read a record of a partition.
    enum Access {
        /// The whole partition is in memory.
        case memory(PartitionContent)
        /// The labels or targets are in memory; the images are read with `pread`.
        case file(ReadOnlyFile, PartitionManifest.Layout, RecordAnswers)
    }

    private enum Residence {
        case absent
        case loading
        case loaded(PartitionContent, lastUse: UInt64)
        /// The partition was dropped from memory after its file was found to be good.
        case checked(PartitionManifest.Layout, RecordAnswers)
    }

    private struct State {
        var residences: [Residence]
        var byteCount = 0
        /// The number of accesses so far; it orders the last uses.
        var clock: UInt64 = 0
    }

    private enum Step {
        case use(Access)
        case read(PartitionManifest.Layout, RecordAnswers)
        case load
    }

    /// A partition counts as in use when one of the last so many accesses used it.
    private static let recentAccessCount: UInt64 = 4096

    /// The files of the partitions.
    let files: any PartitionFiles
    private let entries: [PartitionManifest.Entry]
    private let byteLimit: Int
    private let monitor: Monitor<State>

    init(files: any PartitionFiles, memoryLimitByteCount: Int) {
        self.files = files
        entries = files.manifest.training + files.manifest.test
        byteLimit = memoryLimitByteCount
        monitor = Monitor(State(residences: Array(repeating: .absent, count: entries.count)))
    }

    /// Returns the way to read from a partition, after loading it where that is necessary.
    ///
    /// - Parameter index: the partition's number, counted through the training partitions and then
    ///   the test partitions.
    func access(_ index: Int) throws(DataError) -> Access {
        let step = monitor.wait { state -> Step? in
            state.clock += 1
            switch state.residences[index] {
            case .loading: return nil
            case .loaded(let content, _):
                state.residences[index] = .loaded(content, lastUse: state.clock)
                return .use(.memory(content))
            case .checked(let layout, let answers):
                guard makeRoom(size(index), in: &state) else { return .read(layout, answers) }
                state.residences[index] = .loading
                return .load
            case .absent:
                state.residences[index] = .loading
                return .load
            }
        }
        switch step {
        case .use(let access): return access
        case .read(let layout, let answers):
            return .file(
                try files.reopen(files.manifest.reference(place: index)), layout, answers)
        case .load: return .memory(try load(index))
        }
    }

    /// Returns about the size of a partition's file in bytes, computed from the manifest.
    private func size(_ index: Int) -> Int {
        let manifest = files.manifest
        let answerByteCount = 4 * (manifest.targets ?? 1)
        return entries[index].records
            * (manifest.elementCount * manifest.dtype.byteCount + answerByteCount)
    }

    /// Loads and checks a partition, and keeps it if there is room.
    private func load(_ index: Int) throws(DataError) -> PartitionContent {
        do throws(DataError) {
            let reference = files.manifest.reference(place: index)
            let content = try PartitionContent(
                files.load(reference), reference, manifest: files.manifest)
            let hasRoom = monitor.change { state in
                if makeRoom(content.byteCount, in: &state) {
                    state.residences[index] = .loaded(content, lastUse: state.clock)
                    state.byteCount += content.byteCount
                } else if content.isOnDisk {
                    state.residences[index] = .checked(content.layout, content.answers)
                } else {
                    return false
                }
                return true
            }
            guard hasRoom else {
                throw DataError(
                    .unwritable, file: "\(reference)", what: "memory for what no disk keeps",
                    expected: "at most \(byteLimit) bytes in use",
                    found: "\(content.byteCount) more",
                    advice: "give --cache a directory with free space")
            }
            return content
        } catch {
            monitor.change { $0.residences[index] = .absent }
            throw error
        }
    }

    /// Drops partitions that are not in use until `byteCount` more bytes fit. Returns false when
    /// they cannot fit. Only partitions that a disk keeps are dropped.
    private func makeRoom(_ byteCount: Int, in state: inout State) -> Bool {
        while state.byteCount + byteCount > byteLimit {
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
            state.residences[victim.index] = .checked(
                victim.content.layout, victim.content.answers)
        }
        return true
    }
}
