import Buffers
import NeuralNetwork
import Synchronization

/// Which layers of the next weights are here, while the rest of them is on its way.
///
/// A compute thread that looks for work gives its engine those layers meanwhile, so that when the last
/// chunk comes there is little left to do.
///
/// Threading: every method may be called from any thread. An element of the buffer is written before
/// its chunk is told of, and not afterwards.
package final class ArrivingWeights: Sendable {
    private struct State {
        var buffer: FloatBuffer?
        /// Chunks that are still to come, by layer.
        var missing: [Int]
        var hasCome: [Bool]
        var layers: [Int] = []
    }

    /// The layers that each chunk has a part of.
    private let layersOfChunk: [[Int]]
    /// How many chunks have a part of each layer.
    private let chunkCounts: [Int]
    private let state: Mutex<State>
    /// Rises with every layer.
    private let changes = Atomic(0)

    /// - Parameters:
    ///   - layers: the elements of each layer.
    ///   - chunks: the elements of each chunk.
    package init(layers: [Range<Int>], chunks: [Range<Int>]) {
        layersOfChunk = chunks.map { chunk in
            layers.indices.filter { layers[$0].overlaps(chunk) }
        }
        chunkCounts = layers.map { layer in chunks.count { $0.overlaps(layer) } }
        state = Mutex(
            State(missing: chunkCounts, hasCome: Array(repeating: false, count: chunks.count)))
    }

    /// A chunk of a version has come; of another one than before when the buffer is another.
    package func add(chunk: Int, of buffer: FloatBuffer) {
        let isNews = state.withLock { state in
            if state.buffer !== buffer {
                state = State(
                    buffer: buffer, missing: chunkCounts,
                    hasCome: Array(repeating: false, count: layersOfChunk.count))
            }
            guard !state.hasCome[chunk] else { return false }
            state.hasCome[chunk] = true
            let known = state.layers.count
            for layer in layersOfChunk[chunk] {
                state.missing[layer] -= 1
                if state.missing[layer] == 0 { state.layers.append(layer) }
            }
            return state.layers.count > known
        }
        if isNews { changes.add(1, ordering: .releasing) }
    }

    /// What is here of the newest version; nil when no layer has since `change`.
    package func layers(since change: inout Int) -> (buffer: FloatBuffer, layers: [Int])? {
        let now = changes.load(ordering: .acquiring)
        guard now != change else { return nil }
        change = now
        return state.withLock { state in state.buffer.map { ($0, state.layers) } }
    }
}

/// Which weights one compute thread has given its engine.
package struct EngineWeights {
    private var buffer: FloatBuffer?
    private var layers: Set<Int> = []
    private var change = 0

    package init() {}

    /// Gives the engine what it does not have of these weights.
    package mutating func load(_ weights: FloatBuffer, into engine: any GradientEngine) {
        load(weights, engine.network.parameters.layers.indices, into: engine)
    }

    /// Gives the engine the layers that have come of the next weights. Those in force are usually not
    /// needed any more; otherwise they are given to it again.
    package mutating func load(_ arriving: ArrivingWeights, into engine: any GradientEngine) {
        guard let (buffer, layers) = arriving.layers(since: &change) else { return }
        load(buffer, layers, into: engine)
    }

    private mutating func load(
        _ weights: FloatBuffer, _ wanted: some Sequence<Int>, into engine: any GradientEngine
    ) {
        if buffer !== weights {
            buffer = weights
            layers = []
        }
        for layer in wanted where layers.insert(layer).inserted {
            engine.setParameters(weights.pointer, ofLayer: layer)
        }
    }
}
