import CLinux
import CounterRandom
import Glibc
import Partitions
import TestSupport
import Testing

/// Partitions that are larger than the memory they may take.
@Suite(.timeLimit(.minutes(1))) struct LargePartitionTests {
    private func open(_ directory: TemporaryDirectory, limit: Int) throws -> DataSet {
        try DataSet.open(
            .partitions(directory: directory.path), partitionCount: 1, memoryLimitByteCount: limit)
    }

    /// Images, labels, stored bytes and microbatches do not depend on what is in memory.
    @Test(arguments: [true, false], [0, 2500, 10_000])
    func sameRecordsAsInMemory(isBytes: Bool, limit: Int) throws {
        var sample = StoredSample()
        sample.counts = [11, 0, 12, 9]
        sample.isBytes = isBytes
        let (directory, whole) = try sample.open()
        let large = try open(directory, limit: limit)
        for split in DataSplit.allCases {
            let count = whole.description.recordCount(split)
            let records = Array((0..<count).reversed()) + [0, 0, count - 1]
            for set in [whole, large] {
                let found = try set.gather(split, records: records)
                let first = split == .training ? 0 : sample.recordCount
                #expect(found.labels == records.map { sample.label(first + $0) })
                #expect(found.images == records.flatMap { sample.floats(first + $0) })
            }
            let range = 1..<count - 1
            let expected = try whole.stored(split, range: range)
            let stored = try large.stored(split, range: range)
            #expect(stored.images == expected.images && stored.labels == expected.labels)
        }
    }

    /// The loader announces records of steps ahead, over the ends of epochs, and changes none.
    @Test(arguments: [0, 700]) func loaderGivesTheSame(limit: Int) throws {
        let (directory, whole) = try StoredSample().open()
        let large = try open(directory, limit: limit)
        let plan = try BatchPlan(
            partitionRecordCounts: whole.partitionRecordCounts, batchSize: 6, virtualWorkerCount: 2,
            seed: 5)
        let loader = MicrobatchLoader(dataSet: large, plan: plan, bufferCount: 4)
        defer { loader.stop() }
        let expected = Microbatch(capacity: 3, shape: whole.description.shape)
        for step in [0, 1, 2, 3, 4, 1, 2, 9, 10, 11, 12, 40, 41] {
            loader.prefetch(step: step + 1, virtualWorkers: 0..<2)
            for virtualWorker in 0..<2 {
                let batch = try loader.take(step: step, virtualWorker: virtualWorker)
                defer { loader.recycle(batch) }
                let order = plan.order(
                    epoch: plan.epoch(ofStep: step), virtualWorker: virtualWorker)
                try expected.load(
                    from: whole, .training,
                    records: order[plan.microbatchRange(step: step, virtualWorker: virtualWorker)])
                #expect(batch.count == expected.count)
                let size = batch.count * whole.description.elementCount
                #expect(memcmp(batch.images, expected.images, 4 * size) == 0)
                #expect(memcmp(batch.labels, expected.labels, 4 * batch.count) == 0)
            }
        }
    }

    /// A file that changes while it is in use is an error that names it, once and again, until the
    /// file is as it was. One that was only touched is as good as before.
    @Test func changedFile() throws {
        let sample = StoredSample()
        let (directory, _) = try sample.open()
        let set = try open(directory, limit: 0)
        let name = "part-0.safetensors"
        let good = try directory.read(name)
        let expected = try set.gather(.training, records: [3]).images

        // Systems whose clock for files is coarse would not see changes at once after another.
        var seconds = 1_000_000_000
        func touch() {
            seconds += 10
            let times = [timespec(tv_sec: seconds, tv_nsec: 0), timespec(tv_sec: seconds, tv_nsec: 0)]
            utimensat(AT_FDCWD, "\(directory.path)/\(name)", times, 0)
        }
        var other = good
        other[good.count - 1] ^= 1
        try directory.write(other, name)
        touch()
        for _ in 0..<2 {
            let error = dataError { try set.gather(.training, records: [3]) }
            #expect(error?.kind == .checksumMismatch)
            #expect(error?.file.hasSuffix(name) == true)
        }
        try directory.write(good, name)
        touch()
        #expect(try set.gather(.training, records: [3]).images == expected)

        #expect(truncate("\(directory.path)/\(name)", good.count - 70) == 0)
        for _ in 0..<2 {
            let error = dataError { try set.gather(.training, records: [10]) }
            #expect(error?.kind == .truncated)
            #expect(error?.file.hasSuffix(name) == true)
        }
        // Other files stay good, also while one is not.
        #expect(try set.gather(.training, records: [11]).labels == [sample.label(11)])
        try directory.write(good, name)
        touch()
        #expect(try set.gather(.training, records: [3]).images == expected)

        touch()
        #expect(try set.gather(.training, records: [3]).images == expected)
        #expect(unlink("\(directory.path)/\(name)") == 0)
        #expect(try set.gather(.training, records: [3]).images == expected)
    }

    /// More partitions than files that stay open.
    @Test func manyPartitions() async throws {
        var sample = StoredSample()
        sample.shape = [1, 2, 3]
        sample.counts = (0..<400).map { 1 + $0 % 3 }
        let (directory, _) = try sample.open()
        let set = try open(directory, limit: 0)
        try await withThrowingTaskGroup(of: Bool.self) { [sample] group in
            for task in 0..<2 {
                group.addTask {
                    var random = RandomStream(seed: UInt64(task), purpose: .simulation)
                    for _ in 0..<1000 {
                        let records = (0..<3).map { _ in random.next(below: sample.recordCount) }
                        let found = try set.gather(.training, records: records)
                        guard found.labels == records.map(sample.label),
                            found.images == records.flatMap(sample.floats)
                        else { return false }
                    }
                    return true
                }
            }
            for try await isEqual in group { #expect(isEqual) }
        }
        let files = try #require(opendir("/proc/self/fd"))
        defer { closedir(files) }
        var count = 0
        while readdir(files) != nil { count += 1 }
        #expect(count < 380, "\(count) open files")
    }

    /// Of a set of 64 MB, a limit of 1 MiB leaves labels, one slice and single images in memory.
    @Test func memoryIsBounded() async {
        await #expect(processExitsWith: .success) {
            let directory = try TemporaryDirectory()
            func write() throws {
                let count = 8000
                let images = [UInt8](unsafeUninitializedCapacity: count * 8000) { buffer, filled in
                    for place in 0..<count * 8000 { buffer[place] = UInt8(truncatingIfNeeded: place) }
                    filled = count * 8000
                }
                try PartitionWriter.write(
                    DataSet.inMemory(
                        name: "large", shape: [1, 80, 100], images: images,
                        labels: [Int32](repeating: 0, count: count)),
                    partitionCount: 4, directory: directory.path)
            }
            try write()
            let set = try DataSet.open(
                .partitions(directory: directory.path), partitionCount: 1,
                memoryLimitByteCount: 1 << 20)
            let batch = Microbatch(capacity: 64, shape: [1, 80, 100])
            let before = convoy_allocated_byte_count()
            var after: [Int] = []
            for round in 0..<4 {
                for start in 0..<100 {
                    let records = (0..<64).map { UInt64((start * 7919 + $0 * 1009 + round) % 8000) }
                    try batch.load(from: set, .training, records: records)
                }
                after.append(convoy_allocated_byte_count() - before)
            }
            #expect(after[0] < 1 << 20, "\(after)")
            // Nothing grows from then on.
            #expect(after[3] - after[1] < 16 << 10, "\(after)")
        }
    }
}
