import NeuralNetwork
import Partitions

/// A trained model as two parts: a trunk that stays, and a head that is trained on its outputs.
extension Model {
    /// Returns the model that ends with a node. It applies this model's transformations.
    ///
    /// - Throws: `.model` where there is no such node.
    public func trunk(to node: String) throws(RunError) -> Model {
        let trunk: Network
        do throws(ModelError) { trunk = try network.trunk(to: node) } catch {
            throw .model("\(error)")
        }
        return try part(trunk, input)
    }

    /// Returns the model that begins behind a node. Its input is the node's output.
    ///
    /// - Throws: `.model` where there is no such node, and where the rest reads anything but the
    ///   node.
    public func head(after node: String) throws(RunError) -> Model {
        let head: Network
        do throws(ModelError) { head = try network.head(after: node) } catch {
            throw .model("\(error)")
        }
        return try part(head, ModelInput())
    }

    private func part(_ part: Network, _ input: ModelInput) throws(RunError) -> Model {
        var weights = [Float](repeating: 0, count: part.parameters.elementCount)
        for slot in part.parameters.slots {
            guard let source = network.parameters.slot(named: slot.name) else { continue }
            weights.replaceSubrange(slot.range, with: self.weights[source.range])
        }
        return try Model(part, weights: weights, input: input, loss: loss)
    }

    /// Returns a data set with the outputs of this model, in inference mode, in place of the images.
    ///
    /// Training a head on it gives the bits of training it behind a frozen trunk, with equal initial
    /// weights, where no transformation is random and nothing is dropped.
    /// - Throws: `.data` when the images do not have the shape that the model takes;
    ///   `.configuration` for a backend that is not available.
    public func features(
        of data: DataSet, _ computation: Computation = Computation()
    ) throws(RunError) -> DataSet {
        let shape = network.specification.inputShape
        let transformed: DataSet
        do throws(DataError) { transformed = try data.transformed(by: transformations) } catch {
            throw RunError(error)
        }
        guard transformed.description.shape == shape else {
            throw .data(
                "\(data.description.name): records: expected images of shape \(shape), as the "
                    + "model's, found \(transformed.description.shape)")
        }
        // Safety: the data set lets one call compute at a time.
        nonisolated(unsafe) let engine = try engine(computation)
        let output = network.nodes[network.nodes.count - 1]
        let flat = output.outputShape
        return transformed.computed(
            name: "\(output.name) of \(network.specification.name) on \(data.description.name)",
            shape: flat.count == 1 ? flat + [1, 1] : flat,
            key: "\(network.fingerprint) \(weightsSHA256)"
        ) { images in engine.outputs(images: images.pixels, count: images.count) }
    }
}
