import Buffers
import ClusterProtocol
import NeuralNetwork
import Synchronization

/// The layers of the next weights that are complete while other layers are still on their way.
///
/// A compute thread that looks for work gives its engine these layers in the meantime, so that
/// there is little left to do when the last chunk comes.
///
/// Threading: every method may be called from any thread. An element of the buffer is written
/// before `add` is called for its chunk, and not afterwards.
package final class ArrivingWeights: Sendable {
    /// The chunks and layers of one version.
    private struct State {
        var buffer: FloatBuffer?
        /// The number of chunks that are still to come, for each layer.
        var missing: [Int]
        /// Whether each chunk has come.
        var hasCome: [Bool]
        /// The layers that are complete, in the order in which they became so.
        var layers: [Int] = []
    }

    /// The layers that each chunk has a part of.
    private let layersOfChunk: [[Int]]
    /// The number of chunks that have a part of each layer.
    private let chunkCounts: [Int]
    private let state: Mutex<State>
    /// A counter that rises when a chunk completes one or more layers.
    private let changes = Atomic(0)

    /// Creates weights of which nothing has come.
    ///
    /// - Parameters:
    ///   - layers: the elements of each layer in the flat vector.
    ///   - chunks: the elements of each chunk in the flat vector.
    package init(layers: [Range<Int>], chunks: [Range<Int>]) {
        layersOfChunk = chunks.map { chunk in
            layers.indices.filter { layers[$0].overlaps(chunk) }
        }
        chunkCounts = layers.map { layer in chunks.count { $0.overlaps(layer) } }
        state = Mutex(
            State(missing: chunkCounts, hasCome: Array(repeating: false, count: chunks.count)))
    }

    /// Takes in that a chunk has been written to its place in a buffer. Another buffer than before
    /// means another version.
    package func add(chunk: ChunkIndex, of buffer: FloatBuffer) {
        let isNews = state.withLock { state in
            if state.buffer !== buffer {
                state = State(
                    buffer: buffer, missing: chunkCounts,
                    hasCome: Array(repeating: false, count: layersOfChunk.count))
            }
            guard !state.hasCome[chunk.value] else { return false }
            state.hasCome[chunk.value] = true
            let known = state.layers.count
            for layer in layersOfChunk[chunk.value] {
                state.missing[layer] -= 1
                if state.missing[layer] == 0 { state.layers.append(layer) }
            }
            return state.layers.count > known
        }
        if isNews { changes.add(1, ordering: .releasing) }
    }

    /// Returns the newest version's buffer and its complete layers, or nil when no layer has been
    /// completed since the last call.
    ///
    /// - Parameter change: the counter that the caller saw last; it is updated.
    package func layers(since change: inout Int) -> (buffer: FloatBuffer, layers: [Int])? {
        let now = changes.load(ordering: .acquiring)
        guard now != change else { return nil }
        change = now
        return state.withLock { state in state.buffer.map { ($0, state.layers) } }
    }
}

/// The weights that one compute thread has given its engine.
package struct EngineWeights {
    private var buffer: FloatBuffer?
    private var layers: Set<Int> = []
    private var change = 0
    /// Whether the engine has the frozen weights, which are the same in every version.
    private var hasFrozen = false

    /// Creates the state of an engine without weights.
    package init() {}

    /// Gives the engine the layers of these weights that it does not have.
    package mutating func load(_ weights: FloatBuffer, into engine: any GradientEngine) {
        let layout = engine.network.parameters
        load(weights, hasFrozen ? layout.activeLayers : layout.layers.indices, into: engine)
        hasFrozen = true
    }

    /// Gives the engine the layers of the next weights that have come. The weights in use are
    /// usually not needed any more; if they are, they are given to the engine again.
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
