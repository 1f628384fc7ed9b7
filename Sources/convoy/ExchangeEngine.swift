import ClusterProtocol
import ClusterRuntime
import Glibc
import NeuralNetwork
import RunFiles
import Synchronization
import Threads

/// An engine with a constant gradient that costs nothing. It records when it receives new weights.
final class ExchangeEngine: GradientEngine {
    let network: Network
    private let record: ExchangeRecord
    /// The layers of the present version that have arrived; empty once all have.
    private var layers: Set<Int> = []
    private var version: UnsafePointer<Float>?
    /// The buffers that hold the gradient from an earlier step. Buffers circulate between a
    /// worker's pool and its sockets. No code writes into the sum of a virtual worker that is sent
    /// by itself.
    private var filled: Set<UnsafeMutablePointer<Float>> = []
    /// Each element of the gradient, about 0.001.
    ///
    /// Both halves of its bit pattern are equal. A buffer that was packed in place as bfloat16
    /// therefore still holds this number.
    private static let element = Float(bitPattern: 0x3A83_3A83)

    init(network: Network, record: ExchangeRecord) {
        self.network = network
        self.record = record
    }

    func setParameters(_ parameters: UnsafePointer<Float>, ofLayer layer: Int) {
        if version != parameters || layers.contains(layer) { layers = [] }
        version = parameters
        layers.insert(layer)
        guard layers.count == network.parameters.layers.count else { return }
        layers = []
        record.noteVersion()
    }

    func computeGradient(
        _ batch: MicrobatchView, epoch: Int, into gradient: UnsafeMutablePointer<Float>,
        _ observer: GradientObserver
    ) -> BatchStatistics? {
        record.noteGradient()
        if filled.insert(gradient).inserted {
            gradient.update(
                repeating: Self.element, count: network.parameters.elementCount)
        }
        return BatchStatistics(sampleCount: batch.count)
    }

    func evaluate(
        _ batch: MicrobatchView, logits: UnsafeMutablePointer<Float>?
    ) -> BatchStatistics { BatchStatistics(sampleCount: batch.count) }

    func outputs(images: UnsafePointer<Float>, count: Int) -> [Float] {
        preconditionFailure("an exchange is measured with gradients only, not with outputs")
    }

    func gradients(
        images: UnsafePointer<Float>, count: Int, outputGradient: [Float]
    ) -> (outputs: [Float], input: [Float], parameters: [Float]) {
        preconditionFailure("an exchange is measured without gradients of given outputs")
    }
}

/// The record of one worker: when each version of the weights was complete, and how many gradients
/// the worker computed.
final class ExchangeRecord: Sendable {
    private struct State {
        var versionTimes: [Int64] = []
        var gradientCount = 0
    }

    private let state = Mutex(State())

    /// Records that all layers of a version have arrived.
    func noteVersion() {
        let now = SteadyClock.nanoseconds()
        state.withLock { $0.versionTimes.append(now) }
    }

    /// Counts a gradient.
    func noteGradient() { state.withLock { $0.gradientCount += 1 } }

    /// Writes a file named after the process: the number of gradients, then the times in
    /// nanoseconds, one number a line.
    func write(directory: String) throws(RunError) {
        let state = state.withLock { $0 }
        let lines = [Int64(state.gradientCount)] + state.versionTimes
        try FileSystem.replace(
            "\(directory)/\(getpid())\(ExchangeTimes.ending)",
            with: lines.map { "\($0)\n" }.joined())
    }
}

/// The records of all workers together.
struct ExchangeTimes {
    /// The ending of the names of the workers' files.
    static let ending = ".times"

    /// The times from one version of the weights to the next, in nanoseconds, as seen by the worker
    /// that received the most versions. Another worker may have skipped versions in which others
    /// computed its share.
    let intervals: [Int64]
    /// The mean number of gradients in a step, over all workers. It is more than the number of
    /// workers when some workers computed again what others were late with.
    let gradientsPerStep: Double

    /// Reads the files of all workers.
    static func read(directory: String) throws(RunError) -> ExchangeTimes {
        var longest: [Int64] = []
        var gradientCount: Int64 = 0
        for name in FileSystem.names(in: directory) where name.hasSuffix(ending) {
            let text = String(decoding: try FileSystem.read("\(directory)/\(name)"), as: UTF8.self)
            let numbers = text.split(separator: "\n").compactMap { Int64($0) }
            gradientCount += numbers.first ?? 0
            if numbers.count - 1 > longest.count { longest = Array(numbers.dropFirst()) }
        }
        return ExchangeTimes(
            intervals: zip(longest.dropFirst(), longest).map { $0 - $1 },
            gradientsPerStep: Double(gradientCount) / Double(max(1, longest.count - 1)))
    }
}
