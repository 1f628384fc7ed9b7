import Backends
import CLinux
import NeuralNetwork
import Testing

/// What an engine is said to allocate is what it allocates. Each test has a process of its own, so
/// that nothing else allocates meanwhile.
@Suite struct EngineMemoryTests {
    /// Compares the count with the heap's own figures, after steps of this and of less records.
    private static func check(
        _ model: ModelSpecification, records: [Int], _ precision: Precision = .fp32
    ) throws {
        let network = try Network(model)
        let configuration = EngineConfiguration(seed: 1, precision: precision)
        let parameters = network.initialParameters(seed: 2)
        for count in records {
            let expected = try Backends.engineByteCount(
                .native, network: network, configuration: configuration, records: count)
            let batch = Microbatch(network, count: count)
            let few = Microbatch(network, count: 1)
            var gradient = [Float](repeating: 0, count: network.parameters.elementCount)
            let before = convoy_allocated_byte_count()
            let engine = try Backends.makeEngine(
                .native, network: network, configuration: configuration)
            engine.setParameters(parameters)
            for batch in [few, batch, few] {
                _ = batch.withView { engine.computeGradient($0, epoch: 1, into: &gradient) }
            }
            let found = withExtendedLifetime((engine, few, batch, gradient)) {
                convoy_allocated_byte_count() - before
            }
            // Closures and lists come on top: some hundred bytes for each node.
            let slack = 40_000 + 6_000 * network.nodes.count + expected / 100
            #expect(
                found >= expected && found <= expected + slack,
                "\(model.name), \(count) records: counted \(expected), found \(found)")
        }
    }

    @Test func builtInModels() async {
        await #expect(processExitsWith: .success) {
            for (name, side) in [
                ("cnn", 32), ("resnet20", 32), ("resnet18", 64), ("mobilenet-v1", 64),
                ("mobilenet-v2", 32), ("vgg11-bn", 32),
            ] {
                let model = try #require(
                    ModelSpecification.builtIn(name, inputShape: [3, side, side], classCount: 10))
                try Self.check(model, records: name == "cnn" ? [1, 20, 32] : [20])
            }
            let cnn = ModelSpecification.cnn(inputShape: [3, 32, 32], classCount: 10)
            try Self.check(cnn, records: [32], .bf16)
        }
    }

    @Test func randomGraphs() async {
        await #expect(processExitsWith: .success) {
            for seed in 1...40 {
                let model = GraphTests.random(UInt64(seed))
                try Self.check(model, records: [1, 20])
            }
        }
    }

    /// A plan without memory takes none, whatever the model is.
    @Test func countingAllocatesLittle() async {
        await #expect(processExitsWith: .success) {
            let model = try #require(
                ModelSpecification.builtIn("vgg11-bn", inputShape: [3, 64, 64], classCount: 10))
            let network = try Network(model)
            func count() throws -> Int {
                try Backends.engineByteCount(
                    .native, network: network, configuration: EngineConfiguration(), records: 4096)
            }
            let before = convoy_allocated_byte_count()
            let expected = try count()
            let kept = convoy_allocated_byte_count() - before
            #expect(expected > 10 << 30)
            #expect(kept < 1 << 20, "\(kept) bytes were kept")
        }
    }
}
