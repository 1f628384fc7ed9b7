import ClusterProtocol
import NeuralNetwork
import Partitions

extension RunConfiguration {
    /// Returns the loss of a run, with class weights as numbers.
    ///
    /// - Throws: `.configuration` for a loss that does not fit the data or the model.
    func loss(for data: DataSummary, _ network: Network) throws(RunError) -> LossFunction {
        let loss = training.loss
        guard loss.needsTargets == (data.targetCount != nil) else {
            let (needed, found) =
                loss.needsTargets ? ("targets", "labels") : ("labels", "targets")
            let others = LossFunction.names.filter { name in
                LossFunction(named: name)?.needsTargets != loss.needsTargets
            }
            throw .configuration(
                "training.loss: \(loss.name) needs \(needed), but the records of \(data.name) "
                    + "have \(found); use \(others.joined(separator: " or "))")
        }
        if let mixing = self.data.transformations.first(where: \.mixesLabels),
            !loss.takesMixedLabels
        {
            let others = LossFunction.names.filter {
                LossFunction(named: $0)?.takesMixedLabels == true
            }
            throw .configuration(
                "training.loss: \(mixing.name) in data.transformations gives a record two labels, "
                    + "which \(loss.name) does not have; use \(others.joined(separator: " or ")), or "
                    + "leave \(mixing.name) out")
        }
        do throws(LossError) {
            return try loss.resolved(
                classHistogram: data.classHistogram, outputCount: network.outputElementCount)
        } catch {
            throw .configuration("training.loss: \(error)")
        }
    }
}

extension Microbatch {
    /// The records as the engines take them.
    package var view: MicrobatchView {
        MicrobatchView(
            images: images, labels: labels,
            mixture: isMixed ? MixedLabels(labels: secondLabels, weights: labelWeights) : nil,
            targets: targets.map { UnsafePointer($0) }, records: records, count: count)
    }
}
