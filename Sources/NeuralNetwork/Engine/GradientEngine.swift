/// What an engine asks and tells while it computes one gradient.
public struct GradientObserver {
    /// Asked before each tile, or sample.
    public var isWanted: () -> Bool
    /// Told while the backward pass of the last tile runs, layer by layer: from this element of the
    /// flat gradient on nothing changes any more. The statistics are final too. An engine need not
    /// tell; what it tells falls from call to call.
    public var isFinal: (_ element: Int, _ statistics: BatchStatistics) -> Void

    public init(
        isWanted: @escaping () -> Bool = { true },
        isFinal: @escaping (_ element: Int, _ statistics: BatchStatistics) -> Void = { _, _ in }
    ) {
        self.isWanted = isWanted
        self.isFinal = isFinal
    }
}

/// Computes losses and gradients of one network, one sample after another.
///
/// Determinism: results are functions of (parameters, batch, epoch, configuration), to the bit;
/// sums run in the order of the samples. Threading: one compute thread owns one engine; an engine
/// uses no other thread.
public protocol GradientEngine: AnyObject {
    var network: Network { get }

    /// Takes a layer's parameters out of the flat vector; the engine copies or reorders whatever it
    /// needs. In any order, and maybe of several versions in turn: before something is computed, the
    /// last that each layer was given are of one version.
    ///
    /// - Parameter layer: an index into ``ParameterLayout/layers``.
    func setParameters(_ parameters: UnsafePointer<Float>, ofLayer layer: Int)

    /// Training mode: overwrites `gradient` (a flat parameter vector) with the sum over the samples
    /// of d(loss)/d(parameter). Dropout is keyed by (seed, epoch, record, layer index). No samples:
    /// zeros.
    ///
    /// - Returns: nil when it was given up for not being wanted any more; what of `gradient` was
    ///   not final then means nothing.
    func computeGradient(
        _ batch: MicrobatchView, epoch: Int, into gradient: UnsafeMutablePointer<Float>,
        _ observer: GradientObserver
    ) -> BatchStatistics?

    /// Inference mode. `logits`, when given, receives [count, classes].
    func evaluate(_ batch: MicrobatchView, logits: UnsafeMutablePointer<Float>?) -> BatchStatistics

    /// For tests and tools: the last layer's outputs, [count, outputs], of any network. No dropout.
    func outputs(images: UnsafePointer<Float>, count: Int) -> [Float]

    /// For tests and tools: given d(loss)/d(output) [count, outputs], the gradient of the images
    /// [count, C, H, W] and, summed over the samples, of the parameters. No loss, no dropout.
    func gradients(
        images: UnsafePointer<Float>, count: Int, outputGradient: [Float]
    ) -> (input: [Float], parameters: [Float])
}

extension GradientEngine {
    /// Takes the whole flat parameter vector.
    public func setParameters(_ parameters: UnsafePointer<Float>) {
        for layer in network.parameters.layers.indices {
            setParameters(parameters, ofLayer: layer)
        }
    }

    /// The same, to the end.
    public func computeGradient(
        _ batch: MicrobatchView, epoch: Int, into gradient: UnsafeMutablePointer<Float>
    ) -> BatchStatistics {
        guard let all = computeGradient(batch, epoch: epoch, into: gradient, GradientObserver()) else {
            preconditionFailure("a gradient was given up that is always wanted")
        }
        return all
    }
}
