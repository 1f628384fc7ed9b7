import Backends
import NeuralNetwork
import Testing

/// What engines report while they compute, and how they give up.
@Suite struct GradientObserverTests {
    private func engine(_ backend: BackendKind) throws -> any GradientEngine {
        let network = try EngineCase.few[0].network()
        let engine = try Backends.makeEngine(
            backend, network: network, configuration: EngineConfiguration(seed: 5))
        engine.setParameters(GoldenInput.parameters(network))
        return engine
    }

    /// From the reported element on, the gradient already has its final values.
    @Test(arguments: FastBackend.all, [8, 19])
    func whatIsFinalStays(_ backend: BackendKind, _ count: Int) throws {
        let engine = try engine(backend)
        let network = engine.network
        let batch = Microbatch(network, count: count)
        let expected = engine.computeGradient(batch, epoch: 2)
        let gradient = UnsafeMutablePointer<Float>.allocate(
            capacity: network.parameters.elementCount)
        defer { gradient.deallocate() }
        gradient.initialize(repeating: .nan, count: network.parameters.elementCount)
        var told: [Int] = []
        let found = batch.withView { view in
            engine.computeGradient(
                view, epoch: 2, into: gradient,
                GradientObserver(isFinal: { element, statistics in
                    told.append(element)
                    #expect(statistics == expected.statistics)
                    let final = (element..<network.parameters.elementCount).map { gradient[$0] }
                    expectSameBits(final, Array(expected.gradient[element...]), "from \(element)")
                }))
        }
        #expect(found == expected.statistics)
        let offsets = network.parameters.slots.filter { $0.kind == .weight }.map(\.offset)
        #expect(told == offsets.reversed())
    }

    @Test(arguments: Backends.available)
    func whatIsNotWantedIsGivenUp(_ backend: BackendKind) throws {
        let engine = try engine(backend)
        let batch = Microbatch(engine.network, count: 33)
        var gradient = [Float](repeating: 0, count: engine.network.parameters.elementCount)
        var questions = 0
        let found = batch.withView { view in
            engine.computeGradient(
                view, epoch: 2, into: &gradient,
                GradientObserver(isWanted: {
                    questions += 1
                    return questions < 3
                }))
        }
        #expect(found == nil)
        #expect(questions == 3)
        // The engine can be used as before.
        let again = engine.computeGradient(batch, epoch: 2)
        let fresh = try self.engine(backend).computeGradient(batch, epoch: 2)
        expectSameBits(again.gradient, fresh.gradient, "after giving up")
    }
}
