import ClusterProtocol
import NeuralNetwork

extension RunMaterial {
    /// Refuses a batch normalisation that gets one value a channel in every microbatch.
    ///
    /// The mean of one value is the value, so the layer's output would be its shift, whatever the
    /// images are. PyTorch refuses such a microbatch too. The short microbatches at the end of an
    /// epoch may have one record; their statistics do not count.
    ///
    /// - Throws: `.model` that names the layer.
    func requireValuesToNormalize() throws(RunError) {
        guard batchPlan.microbatchCapacity == 1 else { return }
        for node in network.nodes where node.specification.kind == "batch-norm" {
            // One with frozen statistics normalises by them.
            let usesBatch = node.slots.contains { network.parameters.slots[$0].role == .statistic }
            guard node.inputElementCount == node.inputShape[0], usesBatch else { continue }
            let problem =
                "expects at least 2 values a channel in a microbatch, gets 1, from \(node.inputShape) "
                + "and microbatches of 1 record; lower training.virtual-workers, raise "
                + "training.batch-size, or use group-norm"
            throw .model(
                "\(ModelError.layer(model: network.specification.name, number: node.index + 1, name: node.name, problem: problem))"
            )
        }
    }
}
