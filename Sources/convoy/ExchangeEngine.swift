import ClusterProtocol
import ClusterRuntime
import Glibc
import NeuralNetwork
import RunFiles
import Synchronization
import Threads

/// An engine whose gradient is always the same and costs nothing, and which notes when it is given
/// new weights.
final class ExchangeEngine: GradientEngine {
    let network: Network
    private let record: ExchangeRecord
    /// Those of a version that are here, until all are.
    private var layers: Set<Int> = []
    private var version: UnsafePointer<Float>?
    /// Buffers that hold the gradient from an earlier step. They go round between a worker's pool
    /// and its sockets, and nobody writes into a leaf's sum that is sent by itself.
    private var filled: Set<UnsafeMutablePointer<Float>> = []
    /// About 0.001. Both halves are equal, so that what packing in place as bfloat16 leaves in a
    /// buffer is this number again.
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
    ) -> (input: [Float], parameters: [Float]) {
        preconditionFailure("an exchange is measured without gradients of given outputs")
    }
}

/// What one worker saw: when each version of the weights was whole, and how many gradients it gave.
final class ExchangeRecord: Sendable {
    private struct State {
        var versionTimes: [Int64] = []
        var gradientCount = 0
    }

    private let state = Mutex(State())

    func noteVersion() {
        let now = SteadyClock.nanoseconds()
        state.withLock { $0.versionTimes.append(now) }
    }

    func noteGradient() { state.withLock { $0.gradientCount += 1 } }

    /// A file named by the process: the count of gradients, then the times, a line each.
    func write(directory: String) throws(Failure) {
        let state = state.withLock { $0 }
        let lines = [Int64(state.gradientCount)] + state.versionTimes
        try FileSystem.replace(
            "\(directory)/\(getpid())\(ExchangeTimes.ending)",
            with: lines.map { "\($0)\n" }.joined())
    }
}

/// What all workers saw.
struct ExchangeTimes {
    static let ending = ".times"

    /// Nanoseconds from one version to the next, of the worker that saw the most versions. One that
    /// was helped out by another may have gone without computing on some.
    let intervals: [Int64]
    /// Gradients of all workers together; more than there are workers when some sent a second copy
    /// of what others were late with.
    let gradientsPerStep: Double

    static func read(directory: String) throws(Failure) -> ExchangeTimes {
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
