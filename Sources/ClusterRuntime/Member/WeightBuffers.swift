import Buffers
import ClusterProtocol
import RunFiles

/// The versions of the weights that a worker holds: the one in use, and those that are arriving.
///
/// The worker's machine decides which chunks are stored and when a version is taken into use; this
/// class holds the floats.
///
/// Threading: the member's socket thread only.
final class WeightBuffers {
    /// The weights of one version.
    private struct Version {
        /// The weights that gradients are computed with, rounded as the wire rounds.
        var training: FloatBuffer
        /// The master weights, in versions whose weights are evaluated and therefore travel as
        /// fp32; nil when `training` is the same.
        var master: FloatBuffer?
    }

    /// The place to which a chunk is copied out of a shard's memory.
    struct Landing {
        /// The buffer to copy to.
        var buffer: FloatBuffer
        /// The first element in the buffer.
        var element: Int
        /// The length of the chunk in bytes.
        var byteCount: Int
        /// Whether the chunk is in its final place after the copy. Otherwise it has to be unpacked.
        var isInPlace: Bool
    }

    private let plan: SlicePlan
    private let wire: WirePlan
    private let pool: FloatBufferPool
    /// The versions that are arriving.
    private var incoming: [Step: Version] = [:]
    /// The version in use; nil before there is one.
    private var current: (step: Step, version: Version)?
    /// Memory for one chunk, by its length in bytes.
    private var chunkBuffers: [Int: FloatBuffer] = [:]

    /// Creates buffers without weights, but for those that are frozen.
    init(_ material: RunMaterial, frozen: FloatBuffer? = nil) {
        plan = material.slicePlan
        wire = material.wire
        let layout = material.network.parameters
        pool = FloatBufferPool(count: layout.elementCount, bound: 4) { buffer in
            guard let frozen else { return }
            (buffer + layout.frozen.lowerBound).update(from: frozen.pointer, count: frozen.count)
        }
    }

    /// The step whose weights are in use; nil before there is one.
    var step: Step? { current?.step }

    /// Returns the weights to compute gradients of a step with; nil when they are not in use.
    func training(at step: Step) -> FloatBuffer? {
        current?.step == step ? current?.version.training : nil
    }

    /// Returns the weights to evaluate at a step; nil when they are not in use.
    func evaluated(at step: Step) -> FloatBuffer? {
        guard let current, current.step == step else { return nil }
        return current.version.master ?? current.version.training
    }

    /// Takes a complete version into use and drops older ones. Returns false when nothing of the
    /// version is here.
    func adopt(_ step: Step) -> Bool {
        guard let version = incoming.removeValue(forKey: step) else { return false }
        incoming = incoming.filter { $0.key > step }
        current = (step, version)
        return true
    }

    /// Drops a version that is arriving.
    func abandon(_ version: Step) { incoming[version] = nil }

    /// Drops everything.
    func reset() {
        incoming = [:]
        current = nil
    }

    /// Stores a chunk of a version.
    ///
    /// - Parameter payload: the chunk, of the right length; nil when it is in place already.
    /// - Returns: the buffer that gradients will be computed with.
    func store(_ payload: Payload?, chunk: ChunkIndex, version: Step) -> FloatBuffer {
        let target = arriving(version)
        payload?.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            unpack(base, chunk: chunk, version, into: target)
        }
        return target.training
    }

    /// Returns the place to which a chunk of a version is to be copied.
    func landing(chunk: ChunkIndex, version: Step) -> Landing {
        let range = plan[chunk].range
        let precision = wire.weights(at: version)
        let byteCount = precision.byteCount(elementCount: range.count)
        if precision == .fp32, wire.precision == .fp32 {
            return Landing(
                buffer: arriving(version).training, element: range.lowerBound,
                byteCount: byteCount, isInPlace: true)
        }
        let buffer =
            chunkBuffers[byteCount]
            ?? FloatBuffer(count: FloatBuffer.count(forBytes: byteCount))
        chunkBuffers[byteCount] = buffer
        return Landing(buffer: buffer, element: 0, byteCount: byteCount, isInPlace: false)
    }

    /// Returns whether something of a version has arrived.
    func hasBegun(_ version: Step) -> Bool { incoming[version] != nil }

    /// Returns the buffers of a version that is arriving.
    private func arriving(_ version: Step) -> Version {
        if let known = incoming[version] { return known }
        let isMaster = wire.weights(at: version) != wire.precision
        let new = Version(training: pool.take(), master: isMaster ? pool.take() : nil)
        incoming[version] = new
        return new
    }

    /// Unpacks a chunk into the buffers of its version.
    private func unpack(
        _ payload: UnsafeRawPointer, chunk: ChunkIndex, _ version: Step, into target: Version
    ) {
        let received = wire.weights(at: version)
        let range = plan[chunk].range
        let training = target.training.pointer + range.lowerBound
        guard let master = target.master.map({ $0.pointer + range.lowerBound }) else {
            return received.unpack(payload, into: training, count: range.count)
        }
        received.unpack(payload, into: master, count: range.count)
        wire.precision.round(master, into: training, count: range.count)
    }
}
