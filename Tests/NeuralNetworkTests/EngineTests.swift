import Backends
import NeuralNetwork
import Testing

/// The promises of every backend, whatever its arithmetic.
@Suite struct EngineTests {
    static let specification = ModelSpecification(
        name: "small", inputShape: [2, 9, 8],
        layers: [
            .conv2D(filters: 5, kernel: Size2D(3), activation: .relu),
            .maxPool2D(size: Size2D(2), stride: Size2D(2)),
            .flatten, .dense(units: 12, activation: .relu), .dropout(rate: 0.5), .dense(units: 4),
        ])

    private func makeEngine(
        _ backend: BackendKind, seed: UInt64 = 5, tileSize: Int = 4
    ) throws -> any GradientEngine {
        let network = try Network(Self.specification)
        let engine = try Backends.makeEngine(
            backend, network: network,
            configuration: EngineConfiguration(
                seed: seed, tileSize: FastBackend.tileSize(backend, tileSize)))
        engine.setParameters(network.initialParameters(seed: 3))
        return engine
    }

    @Test(arguments: Backends.available)
    func noSamplesGiveZeros(backend: BackendKind) throws {
        let engine = try makeEngine(backend)
        let empty = Microbatch(engine.network, count: 0)
        let (gradient, statistics) = engine.computeGradient(empty, epoch: 0)
        #expect(gradient.count == engine.network.parameters.elementCount)
        #expect(gradient.allSatisfy { $0 == 0 })
        #expect(statistics == BatchStatistics())
        #expect(engine.evaluate(empty).statistics == BatchStatistics())
        #expect(empty.withView { engine.outputs(images: $0.images, count: 0) }.isEmpty)
    }

    /// A gradient depends only on its arguments: not on the engine, nor on its earlier work.
    @Test(arguments: Backends.available, [1, 3, 4, 5, 9])
    func gradientsRepeatToTheBit(backend: BackendKind, count: Int) throws {
        let first = try makeEngine(backend)
        let batch = Microbatch(first.network, count: count)
        let expected = first.computeGradient(batch, epoch: 2)
        let second = try makeEngine(backend)
        second.setParameters(second.network.initialParameters(seed: 99))
        _ = second.computeGradient(Microbatch(second.network, count: 7), epoch: 0)
        _ = second.evaluate(Microbatch(second.network, count: 2))
        second.setParameters(second.network.initialParameters(seed: 3))
        for _ in 0..<2 {
            let found = second.computeGradient(batch, epoch: 2)
            expectSameBits(found.gradient, expected.gradient, "\(backend.rawValue) gradient")
            #expect(found.statistics == expected.statistics)
        }
    }

    /// The sum over a batch is the sum of its parts' sums, up to rounding.
    @Test(arguments: Backends.available)
    func partsOfABatchAddUp(backend: BackendKind) throws {
        let engine = try makeEngine(backend)
        let batch = Microbatch(engine.network, count: 11)
        let whole = engine.computeGradient(batch, epoch: 1)
        var sum = [Float](repeating: 0, count: whole.gradient.count)
        var statistics = BatchStatistics()
        for range in [0..<1, 1..<6, 6..<11] {
            let part = engine.computeGradient(batch.slice(range), epoch: 1)
            for index in sum.indices { sum[index] += part.gradient[index] }
            statistics.sampleCount += part.statistics.sampleCount
            statistics.lossSum += part.statistics.lossSum
            statistics.correctCount += part.statistics.correctCount
        }
        expectClose(sum, whole.gradient, absolute: 2e-6, relative: 1e-5, "\(backend.rawValue) sum")
        #expect(statistics.sampleCount == 11)
        #expect(statistics.correctCount == whole.statistics.correctCount)
        #expect(abs(statistics.lossSum - whole.statistics.lossSum) < 1e-5)
    }

    @Test(arguments: Backends.available)
    func evaluationDropsNothing(backend: BackendKind) throws {
        let engine = try makeEngine(backend)
        let batch = Microbatch(engine.network, count: 6)
        let (logits, statistics) = engine.evaluate(batch)
        expectSameBits(
            logits, engine.outputs(images: batch.images, count: 6), "\(backend.rawValue) logits")
        #expect(batch.withView { engine.evaluate($0, logits: nil) } == statistics)
        let training = engine.computeGradient(batch, epoch: 0).statistics
        #expect(training.lossSum != statistics.lossSum)
        #expect(statistics.sampleCount == 6)
    }

    /// Dropout depends only on seed, epoch and record.
    @Test(arguments: Backends.available)
    func dropoutIsKeyed(backend: BackendKind) throws {
        let engine = try makeEngine(backend)
        let batch = Microbatch(engine.network, count: 5)
        let gradient = engine.computeGradient(batch, epoch: 0).gradient
        #expect(gradient != engine.computeGradient(batch, epoch: 1).gradient)
        let others = Microbatch(engine.network, count: 5, firstRecord: 2000)
        #expect(gradient != engine.computeGradient(others, epoch: 0).gradient)
        let reseeded = try makeEngine(backend, seed: 6)
        #expect(gradient != reseeded.computeGradient(batch, epoch: 0).gradient)
    }

    /// A microbatch may be computed in any number of tiles, whose sums are rounded differently.
    @Test(arguments: Backends.available, [1, 2, 16])
    func tilesAgree(backend: BackendKind, tileSize: Int) throws {
        let engine = try makeEngine(backend)
        let batch = Microbatch(engine.network, count: 10)
        let expected = engine.computeGradient(batch, epoch: 0)
        let other = try makeEngine(backend, tileSize: tileSize).computeGradient(batch, epoch: 0)
        expectClose(
            other.gradient, expected.gradient, absolute: 2e-6, relative: 1e-5,
            "\(backend.rawValue) tiles of \(tileSize)")
    }

    @Test func refusesWhatABackendCannotDo() throws {
        let network = try Network(Self.specification)
        func refusal(_ configuration: EngineConfiguration) -> String {
            do {
                _ = try Backends.makeEngine(
                    .reference, network: network, configuration: configuration)
                return "nothing"
            } catch {
                return error.description
            }
        }
        #expect(
            refusal(EngineConfiguration(precision: .bf16))
                == "backend reference: computes in fp32 only, asked for bf16")
        #expect(
            refusal(EngineConfiguration(instructionSet: "avx2"))
                == "backend reference: has the instruction set generic only, asked for avx2")
        #expect(
            refusal(EngineConfiguration(tileSize: 0))
                == "backend reference: expected a tile size of at least 1, found 0")
        #expect(refusal(EngineConfiguration(instructionSet: "generic")) == "nothing")
    }

    @Test func choicesResolve() throws {
        #expect(try Backends.resolve(.reference) == .reference)
        #expect(try Backends.resolve(.native) == .native)
        #expect(try Backends.resolve(.auto, tileSize: 4) != .native)
        #expect(
            try Backends.resolve(.auto, precision: .bf16)
                == (EngineCase.hostHasBF16 ? .oneDNN : .native))
        if NativeEngine.isFastHere {
            #expect(try Backends.resolve(.auto) == .native)
        } else if Backends.available.contains(.oneDNN) {
            #expect(try Backends.resolve(.auto) == .oneDNN)
        }
        #expect(Backends.hostInstructionSet(.reference) == "generic")
        if Backends.available.contains(.oneDNN) {
            #expect(try Backends.resolve(.oneDNN) == .oneDNN)
        } else {
            #expect(throws: BackendError.self) { try Backends.resolve(.oneDNN) }
        }
    }
}
