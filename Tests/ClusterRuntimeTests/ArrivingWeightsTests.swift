import Buffers
import ClusterProtocol
import ClusterRuntime
import NeuralNetwork
import Testing

@Suite struct ArrivingWeightsTests {
    /// Three layers in four chunks: the first layer ends and the second begins within the second
    /// chunk.
    private let arriving = ArrivingWeights(
        layers: [0..<20, 20..<40, 40..<64], chunks: [0..<16, 16..<32, 32..<40, 40..<64])

    @Test func aLayerIsHereWhenAllItsChunksAre() {
        let buffer = FloatBuffer(count: 64)
        var change = 0
        #expect(arriving.layers(since: &change) == nil)
        arriving.add(chunk: ChunkIndex(3), of: buffer)
        #expect(arriving.layers(since: &change)?.layers == [2])
        #expect(arriving.layers(since: &change) == nil, "told twice")
        arriving.add(chunk: ChunkIndex(1), of: buffer)
        #expect(arriving.layers(since: &change) == nil, "half a layer is none")
        arriving.add(chunk: ChunkIndex(1), of: buffer)
        #expect(arriving.layers(since: &change) == nil, "a chunk counts once")
        arriving.add(chunk: ChunkIndex(2), of: buffer)
        arriving.add(chunk: ChunkIndex(0), of: buffer)
        #expect(arriving.layers(since: &change)?.layers == [2, 1, 0])
    }

    @Test func anotherBufferIsAnotherVersion() {
        let (first, second) = (FloatBuffer(count: 64), FloatBuffer(count: 64))
        var change = 0
        arriving.add(chunk: ChunkIndex(3), of: first)
        arriving.add(chunk: ChunkIndex(0), of: first)
        arriving.add(chunk: ChunkIndex(1), of: second)
        arriving.add(chunk: ChunkIndex(2), of: second)
        let found = arriving.layers(since: &change)
        #expect(found?.buffer === second)
        #expect(found?.layers == [1])
    }

    /// An engine that notes which layers of which weights it was given.
    private final class Notes: GradientEngine {
        let network: Network
        var given: [Float] = []

        init() throws { network = try Network(.cnn(inputShape: [3, 32, 32], classCount: 10)) }

        func setParameters(_ parameters: UnsafePointer<Float>, ofLayer layer: Int) {
            given.append(parameters[0] * 10 + Float(layer))
        }
        func computeGradient(
            _ batch: MicrobatchView, epoch: Int, into gradient: UnsafeMutablePointer<Float>,
            _ observer: GradientObserver
        ) -> BatchStatistics? { nil }
        func evaluate(
            _ batch: MicrobatchView, logits: UnsafeMutablePointer<Float>?
        ) -> BatchStatistics { BatchStatistics() }
        func outputs(images: UnsafePointer<Float>, count: Int) -> [Float] { [] }
        func gradients(
            images: UnsafePointer<Float>, count: Int, outputGradient: [Float]
        ) -> (outputs: [Float], input: [Float], parameters: [Float]) { ([], [], []) }
    }

    /// An engine computes with the weights of its task, whatever it was given ahead of time.
    @Test func anEngineHasAllLayersOfWhatItComputesWith() throws {
        let engine = try Notes()
        let layers = engine.network.parameters.layers
        let arriving = ArrivingWeights(layers: layers, chunks: layers)
        let (old, new) = (FloatBuffer(count: 200_000), FloatBuffer(count: 200_000))
        old.pointer[0] = 1
        new.pointer[0] = 2
        var weights = EngineWeights()
        weights.load(old, into: engine)
        #expect(engine.given == [10, 11, 12, 13, 14])
        engine.given = []
        weights.load(old, into: engine)
        #expect(engine.given == [], "nothing twice")
        // Two layers of the next version come, and then one more task of this version.
        arriving.add(chunk: ChunkIndex(4), of: new)
        arriving.add(chunk: ChunkIndex(2), of: new)
        weights.load(arriving, into: engine)
        #expect(engine.given == [24, 22])
        engine.given = []
        weights.load(old, into: engine)
        #expect(engine.given == [10, 11, 12, 13, 14])
        engine.given = []
        arriving.add(chunk: ChunkIndex(0), of: new)
        weights.load(arriving, into: engine)
        #expect(engine.given == [24, 22, 20])
        engine.given = []
        weights.load(new, into: engine)
        #expect(engine.given == [21, 23])
    }
}
