/// The callbacks of one gradient computation. The engine calls them on the thread that computes.
public struct GradientObserver {
    /// Returns whether the gradient is still wanted; on false the engine gives up. Engines ask
    /// before each tile or group of tiles, or before each node if they have no tiles.
    public var isWanted: () -> Bool
    /// Receives the index of the first element of the flat gradient that is final, together with
    /// every element after it.
    ///
    /// An engine calls this layer by layer while the backward pass of the last tile runs, and the
    /// index falls from call to call. The statistics are final too. An engine need not call this at
    /// all.
    public var isFinal: (_ element: Int, _ statistics: BatchStatistics) -> Void

    /// Creates an observer. By default the gradient is wanted to the end, and what is final is
    /// ignored.
    public init(
        isWanted: @escaping () -> Bool = { true },
        isFinal: @escaping (_ element: Int, _ statistics: BatchStatistics) -> Void = { _, _ in }
    ) {
        self.isWanted = isWanted
        self.isFinal = isFinal
    }
}

/// An engine computes losses and gradients of one network over the records of a microbatch.
///
/// Determinism: every result is a function of (parameters, batch, epoch, configuration), to the
/// bit. Records are computed in their order, and sums run in an order that the network and the
/// number of records fix. Threading: one compute thread owns one engine, and an engine uses no
/// other thread.
public protocol GradientEngine: AnyObject {
    /// The network that the engine computes.
    var network: Network { get }

    /// Takes one node's parameters, or all statistics, from the flat vector. The engine copies or
    /// reorders what it needs.
    ///
    /// Layers may be set in any order, and from several versions of the vector in between. Before
    /// anything is computed, the parameters that each layer was given last must be of one version.
    /// - Parameters:
    ///   - parameters: the whole flat parameter vector.
    ///   - layer: an index into ``ParameterLayout/layers``.
    func setParameters(_ parameters: UnsafePointer<Float>, ofLayer layer: Int)

    /// Computes the gradient of the summed loss in training mode: with dropout, and normalised by
    /// the statistics of these records.
    ///
    /// Overwrites `gradient`, a flat vector in the layout of the parameters, with the sum over the
    /// records of d(weighted loss)/d(parameter). The place of a statistic receives the statistic times the
    /// number of records. Without records all are zero. Dropout is keyed by (seed, epoch, record,
    /// layer index).
    /// - Parameters:
    ///   - batch: the records.
    ///   - epoch: the number of the epoch.
    ///   - gradient: receives the flat gradient.
    ///   - observer: says whether the gradient is still wanted, and is told what is final.
    /// - Returns: the sums over the records; nil when the engine gave up because the gradient was
    ///   no longer wanted. Elements of `gradient` that were not final by then have no meaning.
    func computeGradient(
        _ batch: MicrobatchView, epoch: Int, into gradient: UnsafeMutablePointer<Float>,
        _ observer: GradientObserver
    ) -> BatchStatistics?

    /// Computes the losses of the records in inference mode, without dropout, by
    /// ``LossFunction/ofTestRecords``.
    ///
    /// - Parameters:
    ///   - batch: the records.
    ///   - logits: receives the outputs, row-major [count, classes]; nil where they are not needed.
    /// - Returns: the sums over the records.
    func evaluate(_ batch: MicrobatchView, logits: UnsafeMutablePointer<Float>?) -> BatchStatistics

    /// Returns the last layer's outputs of any network, row-major [count, outputs], in inference
    /// mode. For tests and tools.
    ///
    /// - Parameters:
    ///   - images: row-major [count, C, H, W].
    ///   - count: the number of images.
    func outputs(images: UnsafePointer<Float>, count: Int) -> [Float]

    /// Computes outputs and gradients from a given gradient of the outputs, without a loss and
    /// without dropout. Normalisations use the statistics of these images. For tests and tools.
    ///
    /// - Parameters:
    ///   - images: row-major [count, C, H, W].
    ///   - count: the number of images.
    ///   - outputGradient: d(loss)/d(output), row-major [count, outputs].
    /// - Returns: the outputs, [count, outputs]; the gradient of the images, [count, C, H, W]; and
    ///   the gradient of the flat parameter vector, summed over the images, where a statistic's
    ///   place holds the statistic times the number of images.
    func gradients(
        images: UnsafePointer<Float>, count: Int, outputGradient: [Float]
    ) -> (outputs: [Float], input: [Float], parameters: [Float])
}

extension GradientEngine {
    /// Takes the parameters of all layers from the flat vector.
    public func setParameters(_ parameters: UnsafePointer<Float>) {
        for layer in network.parameters.layers.indices {
            setParameters(parameters, ofLayer: layer)
        }
    }

    /// Computes the gradient without asking whether it is still wanted.
    public func computeGradient(
        _ batch: MicrobatchView, epoch: Int, into gradient: UnsafeMutablePointer<Float>
    ) -> BatchStatistics {
        guard let all = computeGradient(batch, epoch: epoch, into: gradient, GradientObserver()) else {
            preconditionFailure("a gradient was given up that is always wanted")
        }
        return all
    }
}
