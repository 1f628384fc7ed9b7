import Buffers
import ClusterRuntime
import CounterRandom
import NeuralNetwork
import Partitions
import Threads

/// The data of a measured step: random images of bytes, initial weights, optimizer state.
///
/// Safety: the pointers of `batch` and the buffers live as long as this object.
final class StepBenchMaterial {
    let network: Network
    let weights: FloatBuffer
    let gradient: FloatBuffer
    private let newWeights: FloatBuffer
    private let state: [FloatBuffer]
    private let rule: UpdateRule
    private let data: DataSet
    private let batch: Microbatch
    private let batchSize: Int
    private var source: [UInt8]
    private var destination: [UInt8]

    /// The size of all images in bytes: more than the caches hold.
    private static let imageByteCount = 48 << 20

    init(network: Network, batchSize: Int) {
        self.network = network
        self.batchSize = batchSize
        let count = network.parameters.elementCount
        let weights = FloatBuffer(count: count)
        self.weights = weights
        gradient = FloatBuffer(count: count)
        newWeights = FloatBuffer(count: count)
        let optimizer = OptimizerSpecification.adam(Adam())
        rule = UpdateRule(optimizer, network.parameters)
        state = optimizer.stateNames.map { _ in FloatBuffer(count: count) }
        network.initialParameters(seed: 1).withUnsafeBytes { weights.copy($0) }
        let size = network.inputElementCount
        let recordCount = max(batchSize, Self.imageByteCount / size)
        let images = (0..<recordCount * size).map { UInt8(truncatingIfNeeded: mix64(UInt64($0))) }
        let classCount = network.outputElementCount
        let labels = (0..<recordCount).map { Int32($0 % classCount) }
        do throws(DataError) {
            data = try DataSet.inMemory(
                name: "random", shape: network.specification.inputShape, images: images,
                labels: labels)
        } catch {
            preconditionFailure("\(error)")
        }
        batch = Microbatch(capacity: batchSize, shape: network.specification.inputShape)
        let elementCount = max(count * 4, batchSize * size) * 8
        source = [UInt8](repeating: 1, count: elementCount)
        destination = [UInt8](repeating: 0, count: elementCount)
    }

    /// The present microbatch as the engines take it.
    var view: MicrobatchView {
        MicrobatchView(
            images: batch.images, labels: batch.labels, records: batch.records, count: batchSize)
    }

    /// The bytes that loading a microbatch moves: one byte read and one float written for each
    /// pixel.
    var inputByteCount: Int { batchSize * network.inputElementCount * 5 }
    /// The bytes that an update moves: weights, gradient and state are read, weights and state are
    /// written.
    var optimizerByteCount: Int {
        network.parameters.elementCount * 4 * (3 + 2 * state.count)
    }

    /// Loads a microbatch of records from all over the data set.
    func load(round: Int) {
        let recordCount = max(batchSize, Self.imageByteCount / network.inputElementCount)
        for index in 0..<batchSize {
            batch.records[index] = UInt64(((round * batchSize + index) &* 7919) % recordCount)
        }
        do throws(DataError) {
            try data.gather(
                .training, records: UnsafeBufferPointer(start: batch.records, count: batchSize),
                images: batch.images, labels: batch.labels)
        } catch {
            preconditionFailure("\(error)")
        }
    }

    /// Updates the weights once with the optimizer.
    func update(round: Int) {
        rule.update(
            0..<network.parameters.elementCount, step: round + 1, weights: weights.pointer,
            into: newWeights.pointer, gradientSum: gradient.pointer, sampleCount: batchSize,
            state: state.map(\.pointer))
    }

    /// Returns the time in nanoseconds of a copy that reads and writes `byteCount` bytes together.
    /// The second of two copies is measured.
    func copyTime(_ byteCount: Int) -> Int64 {
        let half = min(max(byteCount / 2, 1), source.count)
        return source.withUnsafeBufferPointer { source in
            destination.withUnsafeMutableBufferPointer { destination in
                destination.baseAddress!.update(from: source.baseAddress!, count: half)
                let begin = SteadyClock.nanoseconds()
                destination.baseAddress!.update(from: source.baseAddress!, count: half)
                return SteadyClock.nanoseconds() - begin
            }
        }
    }
}
