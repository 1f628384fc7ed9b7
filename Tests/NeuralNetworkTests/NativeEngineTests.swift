import Backends
import CKernels
import NeuralNetwork
import Testing

/// Promises of the native backend only.
@Suite struct NativeEngineTests {
    private static func engine(_ testCase: EngineCase) throws -> any GradientEngine {
        let network = try testCase.network()
        let engine = try Backends.makeEngine(
            .native, network: network, configuration: EngineConfiguration(seed: 5))
        engine.setParameters(GoldenInput.parameters(network))
        return engine
    }

    /// Networks whose convolutions leave over every number of positions, tiles, channels and outputs
    /// that the kernels take together.
    private static let unevenConvolutions: [EngineCase] = (1...13).map { number in
        let side = 3 + number
        return EngineCase(
            "uneven \(number)", [number, side, side + number % 4],
            [
                .conv2D(filters: 8 * (1 + number % 5), kernel: Size2D(number % 2 == 0 ? 3 : 2)),
                .conv2D(filters: number, kernel: Size2D(3), padding: .same, activation: .relu),
                .conv2D(
                    filters: 2 * number + 1, kernel: Size2D(3), stride: Size2D(1 + number % 3),
                    padding: .same),
                .flatten, .dense(units: 3),
            ])
    }

    /// Layers that are computed on groups of tiles give the bits of one tile after another: networks
    /// of every kind, with fewer tiles than a group has, as many, and more.
    @Test(
        arguments: EngineCase.all + unevenConvolutions
            + (1...40).map {
                EngineCase(GraphTests.random(UInt64($0)))
            })
    func wideLayersKeepTheBits(_ testCase: EngineCase) throws {
        let network = try testCase.network()
        let parameters = GraphTests.parameters(network)
        for precision in [Precision.fp32, .bf16] {
            let engines = try [Int.max, 1, 100].map { bound in
                let engine = try NativeEngine(
                    network: network,
                    configuration: EngineConfiguration(seed: 5, precision: precision),
                    wideFrom: bound)
                engine.setParameters(parameters)
                return engine
            }
            for count in [5, 32, 45] {
                let batch = Microbatch(network, count: count)
                let expected = engines[0].computeGradient(batch, epoch: 2)
                for engine in engines.dropFirst() {
                    let found = engine.computeGradient(batch, epoch: 2)
                    expectSameBits(found.gradient, expected.gradient, "\(testCase) \(count)")
                    #expect(found.statistics == expected.statistics)
                }
            }
            let batch = Microbatch(network, count: 37)
            let given = GoldenInput.values(37 * network.outputElementCount, salt: 9)
            let expected = engines[0].gradients(
                images: batch.images, count: 37, outputGradient: given)
            for engine in engines.dropFirst() {
                let found = engine.gradients(images: batch.images, count: 37, outputGradient: given)
                expectSameBits(found.outputs, expected.outputs, "\(testCase) outputs")
                expectSameBits(found.input, expected.input, "\(testCase) image gradient")
                expectSameBits(found.parameters, expected.parameters, "\(testCase) gradient")
            }
        }
    }

    /// Registers of 512 bits, and a processor without AVX2 and FMA, compute equal bits.
    @Test(.enabled(if: NativeEngine.isFastHere, "this host runs the code for every processor"))
    func sameBitsOnEveryProcessor() async {
        await #expect(processExitsWith: .success) {
            let cases = EngineCase.all + Self.unevenConvolutions
            let batches = try cases.map { Microbatch(try $0.network(), count: 11) }
            let fast = try zip(cases, batches).map { testCase, batch in
                try Self.engine(testCase).computeGradient(batch, epoch: 2)
            }
            for level in [CONVOY_LEVEL_AVX2, CONVOY_LEVEL_ANY] {
                convoy_lanes_hold_back(Int32(level))
                #expect(NativeEngine.isFastHere == (level == CONVOY_LEVEL_AVX2))
                for (index, testCase) in cases.enumerated() {
                    let found = try Self.engine(testCase).computeGradient(batches[index], epoch: 2)
                    expectSameBits(found.gradient, fast[index].gradient, "\(testCase)")
                    #expect(found.statistics == fast[index].statistics)
                }
            }
        }
    }

    /// Dense layers sum several tiles at a time; the counts are one tile, a full group of tiles,
    /// one record more, one tile more, and over two groups.
    @Test(arguments: [8, 64, 65, 72, 130])
    func manyTiles(_ count: Int) throws {
        let pair = try BackendPair(.native, EngineCase.few[0], tileSize: 8)
        let batch = Microbatch(pair.network, count: count)
        let actual = pair.fast.computeGradient(batch, epoch: 3)
        let expected = pair.reference.computeGradient(batch, epoch: 3)
        pair.expectCloseParameters(
            actual.gradient, expected.gradient, absolute: 2e-4, relative: 4e-4)
        pair.expectCloseStatistics(actual.statistics, expected.statistics)
    }

    @Test func refusesWhatItCannotCompute() throws {
        let network = try EngineCase.few[0].network()
        func refusal(_ configuration: EngineConfiguration) -> String {
            do throws(BackendError) {
                _ = try Backends.makeEngine(
                    .native, network: network, configuration: configuration)
                return "nothing"
            } catch {
                return "\(error)"
            }
        }
        #expect(
            refusal(EngineConfiguration(tileSize: 4))
                == "backend native: computes tiles of 8 images only, asked for 4")
        #expect(
            refusal(EngineConfiguration(instructionSet: "avx2"))
                == "backend native: has the instruction set generic only, asked for avx2")
        #expect(refusal(EngineConfiguration(instructionSet: "generic")) == "nothing")
    }
}
