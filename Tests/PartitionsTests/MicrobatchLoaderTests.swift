import CounterRandom
import Partitions
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(1))) struct MicrobatchLoaderTests {
    private let directory: TemporaryDirectory
    private let dataSet: DataSet
    private let plan: BatchPlan

    init() throws {
        var sample = IDXSample()
        sample.counts.training = 1000
        let opened = try sample.open(partitionCount: 7)
        directory = opened.0
        dataSet = try opened.1.transformed(by: [.randomCrop(padding: 1)])
        plan = try BatchPlan(
            partitionRecordCounts: dataSet.partitionRecordCounts, batchSize: 24,
            virtualWorkerCount: 8,
            seed: 3)
    }

    private struct Contents: Equatable {
        var records: [UInt64]
        var labels: [Int32]
        var images: [Float]
        var digest: UInt64

        init(_ batch: Microbatch) {
            records = Array(UnsafeBufferPointer(start: batch.records, count: batch.count))
            labels = Array(UnsafeBufferPointer(start: batch.labels, count: batch.count))
            images = Array(UnsafeBufferPointer(start: batch.images, count: batch.count * 15))
            digest = batch.recordDigest
        }
    }

    /// The expected content of a microbatch, read without a loader.
    private func expected(step: Int, virtualWorker: Int) throws -> Contents {
        let epoch = plan.epoch(ofStep: step)
        let order = plan.order(epoch: epoch, virtualWorker: virtualWorker)
        let batch = Microbatch(capacity: 3, shape: [1, 3, 5])
        try batch.load(
            from: dataSet, .training,
            records: order[plan.microbatchRange(step: step, virtualWorker: virtualWorker)],
            augmentation: AugmentationKey(seed: 3, epoch: epoch))
        return Contents(batch)
    }

    @Test(arguments: [1, 5, 24])
    func fourThreadsGetWhatInlineLoadingGives(bufferCount: Int) async throws {
        let loader = MicrobatchLoader(dataSet: dataSet, plan: plan, bufferCount: bufferCount)
        defer { loader.stop() }
        let stepCount = 2 * plan.stepsPerEpoch + 5
        try await withThrowingTaskGroup(of: Int.self) { group in
            for task in 0..<4 {
                group.addTask {
                    var wrongCount = 0
                    for step in 0..<stepCount {
                        loader.prefetch(step: step + 1, virtualWorkers: 0..<8)
                        for virtualWorker in [task, task + 4] {
                            let batch = try loader.take(step: step, virtualWorker: virtualWorker)
                            let wanted = try self.expected(step: step, virtualWorker: virtualWorker)
                            if Contents(batch) != wanted { wrongCount += 1 }
                            loader.recycle(batch)
                        }
                    }
                    return wrongCount
                }
            }
            for try await wrongCount in group { #expect(wrongCount == 0) }
        }
    }

    @Test func batchesMayBeTakenAgainHeldAndRolledBack() throws {
        let loader = MicrobatchLoader(dataSet: dataSet, plan: plan, bufferCount: 2)
        loader.prefetch(step: 50, virtualWorkers: 0..<8)
        loader.prefetch(step: 50, virtualWorkers: 0..<8)
        // More microbatches than the ring holds are kept at once, one of them twice.
        let held = try [0, 1, 2, 3, 3].map { try loader.take(step: 2, virtualWorker: $0) }
        for (batch, virtualWorker) in zip(held, [0, 1, 2, 3, 3]) {
            #expect(try Contents(batch) == expected(step: 2, virtualWorker: virtualWorker))
        }
        for batch in held { loader.recycle(batch) }
        for batch in held { loader.recycle(batch) }
        loader.stop()
        loader.stop()
        let late = try loader.take(step: 1, virtualWorker: 7)
        #expect(try Contents(late) == expected(step: 1, virtualWorker: 7))
    }

    @Test func aTakenBufferIsNobodyElses() throws {
        let loader = MicrobatchLoader(dataSet: dataSet, plan: plan, bufferCount: 6)
        for step in 0..<100 {
            // The hints for this step came one step ago, so these two are ready by now.
            var held = try (0..<2).map { try loader.take(step: step, virtualWorker: $0) }
            loader.prefetch(step: step + 1, virtualWorkers: 0..<2)
            held += try (2..<4).map { try loader.take(step: step, virtualWorker: $0) }
            #expect(Set(held.map(ObjectIdentifier.init)).count == 4)
            for (virtualWorker, batch) in held.enumerated() {
                #expect(try Contents(batch) == expected(step: step, virtualWorker: virtualWorker))
            }
            for batch in held { loader.recycle(batch) }
        }
    }

    @Test func theSteadyStateUsesTheSameBuffersAgain() throws {
        let loader = MicrobatchLoader(dataSet: dataSet, plan: plan, bufferCount: 6)
        var buffers: Set<ObjectIdentifier> = []
        for step in 0..<100 {
            let batches = try (0..<2).map { try loader.take(step: step, virtualWorker: $0) }
            loader.prefetch(step: step + 1, virtualWorkers: 0..<2)
            for batch in batches { buffers.insert(ObjectIdentifier(batch)) }
            for batch in batches { loader.recycle(batch) }
        }
        #expect(buffers.count <= 6)
    }

    @Test func theLastStepMayBeShortOrEmpty() throws {
        let loader = MicrobatchLoader(dataSet: dataSet, plan: plan, bufferCount: 8)
        let last = plan.stepsPerEpoch - 1
        let counts = try (0..<8).map { try loader.take(step: last, virtualWorker: $0).count }
        #expect(counts == [Int](repeating: 125 - last * 3, count: 8))
        let tiny = try BatchPlan(
            partitionRecordCounts: [1000], batchSize: 1001, virtualWorkerCount: 1001, seed: 1)
        let other = MicrobatchLoader(dataSet: dataSet, plan: tiny, bufferCount: 1)
        let empty = try other.take(step: 0, virtualWorker: 1000)
        #expect(empty.count == 0 && empty.recordDigest == 0)
    }

    @Test func errorsReachTheTaker() throws {
        let partitioned = try TemporaryDirectory()
        let plain = try IDXSample().open().1
        try PartitionWriter.write(plain, partitionCount: 1, directory: partitioned.path)
        let copy = try DataSet.open(.partitions(directory: partitioned.path), partitionCount: 1)
        let plan = try BatchPlan(
            partitionRecordCounts: [23], batchSize: 4, virtualWorkerCount: 2, seed: 1)
        let loader = MicrobatchLoader(dataSet: copy, plan: plan, bufferCount: 4)
        let name = "training-00000.safetensors"
        let good = try partitioned.read(name)
        try partitioned.write([1], name)
        loader.prefetch(step: 0, virtualWorkers: 0..<2)
        for _ in 0..<3 {
            #expect(dataError { try loader.take(step: 0, virtualWorker: 0) }?.kind == .truncated)
        }
        try partitioned.write(good, name)
        #expect(try loader.take(step: 0, virtualWorker: 0).count == 2)
    }

    @Test func digestsAreSumsOverRecords() {
        #expect(Microbatch.digest(of: []) == 0)
        #expect(Microbatch.digest(of: [0, 7]) == mix64(1) &+ mix64(8))
        #expect(Microbatch.digest(of: [7, 0]) == Microbatch.digest(of: [0, 7]))
    }
}
