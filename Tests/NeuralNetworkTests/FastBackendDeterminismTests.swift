import Backends
import Glibc
import NeuralNetwork
import Synchronization
import Testing

/// A contribution is a pure function: its bits depend neither on earlier work nor on the thread.
@Suite struct FastBackendDeterminismTests {
    static let counts = [1, 7, 8, 33]

    private static func engine(
        _ backend: BackendKind, _ testCase: EngineCase, tileSize: Int = 8,
        precision: Precision = .fp32
    ) throws -> any GradientEngine {
        let network = try testCase.network()
        let engine = try Backends.makeEngine(
            backend, network: network,
            configuration: EngineConfiguration(seed: 5, tileSize: tileSize, precision: precision))
        engine.setParameters(GoldenInput.parameters(network))
        return engine
    }

    @Test(arguments: FastBackend.with(EngineCase.all), counts)
    func sameBitsEveryTime(_ pair: (BackendKind, EngineCase), _ count: Int) throws {
        let (backend, testCase) = pair
        let engine = try Self.engine(backend, testCase)
        let batch = Microbatch(engine.network, count: count)
        let first = engine.computeGradient(batch, epoch: 2)

        // Other work in between: other images, another epoch, an evaluation, other parameters.
        let other = Microbatch(engine.network, count: 21, firstRecord: 7)
        var wild = other
        wild.images = wild.images.map { ($0 - 0.5) * 1e3 }
        _ = engine.computeGradient(wild, epoch: 9)
        _ = engine.evaluate(other)
        engine.setParameters([Float](repeating: 1, count: first.gradient.count))
        _ = engine.computeGradient(wild, epoch: 1)
        engine.setParameters(GoldenInput.parameters(engine.network))
        let again = engine.computeGradient(batch, epoch: 2)
        expectSameBits(again.gradient, first.gradient, "the same call again")
        #expect(again.statistics == first.statistics)

        let fresh = try Self.engine(backend, testCase).computeGradient(batch, epoch: 2)
        expectSameBits(fresh.gradient, first.gradient, "another engine")
        #expect(fresh.statistics == first.statistics)
    }

    @Test(arguments: FastBackend.with(EngineCase.few))
    func sameBitsOnAnotherThread(_ backend: BackendKind, _ testCase: EngineCase) throws {
        let engine = try Self.engine(backend, testCase)
        let batch = Microbatch(engine.network, count: 19)
        let here = engine.computeGradient(batch, epoch: 2).gradient
        for _ in 0..<3 {
            let there = try onNewThread {
                try Self.engine(backend, testCase).computeGradient(batch, epoch: 2).gradient
            }
            expectSameBits(there, here, "the gradient from another thread")
        }
    }

    @Test(arguments: FastBackend.all)
    func sameBitsWhereverTheBatchLies(_ backend: BackendKind) throws {
        let engine = try Self.engine(backend, EngineCase.all[0])
        let batch = Microbatch(engine.network, count: 9)
        let expected = engine.computeGradient(batch, epoch: 2).gradient
        for shift in 1...3 {
            let images = [Float](repeating: 0, count: shift) + batch.images
            let parameters =
                [Float](repeating: 0, count: shift) + GoldenInput.parameters(engine.network)
            var gradient = [Float](repeating: .nan, count: shift + expected.count)
            parameters.withUnsafeBufferPointer { engine.setParameters($0.baseAddress! + shift) }
            _ = images.withUnsafeBufferPointer { images in
                gradient.withUnsafeMutableBufferPointer { gradient in
                    engine.computeGradient(
                        MicrobatchView(
                            images: images.baseAddress! + shift, labels: batch.labels,
                            records: batch.records, count: batch.count),
                        epoch: 2, into: gradient.baseAddress! + shift)
                }
            }
            expectSameBits(Array(gradient[shift...]), expected, "shifted by \(shift) elements")
        }
    }

    @Test(
        .enabled(if: Backends.available.contains(.oneDNN), "built without oneDNN"),
        arguments: EngineCase.all)
    func paddingOfATileAddsNothing(_ testCase: EngineCase) throws {
        let backend = BackendKind.oneDNN
        let padded = try Self.engine(backend, testCase, tileSize: 8)
        let exact = try Self.engine(backend, testCase, tileSize: 5)
        let batch = Microbatch(padded.network, count: 5)
        let (actual, expected) = (
            padded.computeGradient(batch, epoch: 2), exact.computeGradient(batch, epoch: 2)
        )
        expectClose(
            actual.gradient, expected.gradient, absolute: 2e-5, relative: 1e-4, "tile of 8 or 5")
        #expect(abs(actual.statistics.lossSum - expected.statistics.lossSum) < 1e-4)
    }

    @Test(arguments: FastBackend.with(EngineCase.few))
    func evaluationOfARecordDoesNotDependOnItsNeighbours(
        _ backend: BackendKind, _ testCase: EngineCase
    ) throws {
        let engine = try Self.engine(backend, testCase)
        let batch = Microbatch(engine.network, count: 19)
        let together = engine.evaluate(batch).logits
        let width = engine.network.outputElementCount
        let imageSize = engine.network.inputElementCount
        func expectSame(_ found: [Float], _ index: Int, _ what: String) {
            let expected = together[index * width..<(index + 1) * width]
            expectSameBits(found, Array(expected), "record \(index) \(what)")
        }
        for index in 0..<batch.count {
            // The image keeps its place, because oneDNN's products on AVX2 round by the place in a
            // tile.
            var others = batch
            for element in others.images.indices where element / imageSize != index {
                others.images[element] = 1 - others.images[element]
            }
            let beside = engine.evaluate(others).logits
            expectSame(Array(beside[index * width..<(index + 1) * width]), index, "beside others")
            guard backend == .native else { continue }
            let alone = engine.evaluate(batch.slice(index..<index + 1)).logits
            expectSame(alone, index, "alone")
        }
    }

    @Test(arguments: FastBackend.all)
    func noRecordsGiveZeros(_ backend: BackendKind) throws {
        let engine = try Self.engine(backend, EngineCase.all[0])
        let result = engine.computeGradient(Microbatch(engine.network, count: 0), epoch: 1)
        #expect(result.gradient.allSatisfy { $0 == 0 })
        #expect(result.statistics == BatchStatistics())
    }

    @Test(.enabled(if: Backends.available.contains(.oneDNN), "built without oneDNN"))
    func callingThreadDoesAllTheWork() async {
        await #expect(processExitsWith: .success) {
            let backend = BackendKind.oneDNN
            let engine = try Self.engine(backend, EngineCase.all[0])
            let batch = Microbatch(engine.network, count: 64)
            _ = engine.computeGradient(batch, epoch: 1)
            let process = seconds(CLOCK_PROCESS_CPUTIME_ID)
            let thread = seconds(CLOCK_THREAD_CPUTIME_ID)
            for _ in 0..<20 { _ = engine.computeGradient(batch, epoch: 1) }
            let processTime = seconds(CLOCK_PROCESS_CPUTIME_ID) - process
            let threadTime = seconds(CLOCK_THREAD_CPUTIME_ID) - thread
            #expect(threadTime > 0.01)
            #expect(processTime < threadTime * 1.1)
        }
    }
}

private func seconds(_ clock: clockid_t) -> Double {
    var time = timespec()
    clock_gettime(clock, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// Runs `body` on a new thread and returns its result.
private func onNewThread(_ body: @escaping @Sendable () throws -> [Float]) throws -> [Float] {
    final class Work: Sendable {
        let body: @Sendable () throws -> [Float]
        let result = Mutex<Result<[Float], any Error>?>(nil)
        init(_ body: @escaping @Sendable () throws -> [Float]) { self.body = body }
        func run() {
            let value = Result { try body() }
            result.withLock { $0 = value }
        }
    }
    let work = Work(body)
    var thread = pthread_t()
    let status = pthread_create(
        &thread, nil,
        { argument in
            Unmanaged<Work>.fromOpaque(argument!).takeRetainedValue().run()
            return nil
        }, Unmanaged.passRetained(work).toOpaque())
    precondition(status == 0, "pthread_create failed with \(status)")
    pthread_join(thread, nil)
    return try work.result.withLock { try $0!.get() }
}
