import ClusterProtocol
import NeuralNetwork
import Partitions

extension RunMaterial {
    /// Notes on settings that have no effect or another effect than they say, one line each.
    ///
    /// The run does what can be done, and the user is told.
    package var remarks: [String] {
        dataRemarks + clusterRemarks
    }

    private var dataRemarks: [String] {
        let (data, training) = (configuration.data, configuration.training)
        var lines: [String] = []
        let count = batchPlan.partitionRecordCounts.count
        if data.partitions != count, data.partitions != RunConfiguration.Data().partitions {
            lines.append(
                "data.partitions \(data.partitions) has no effect: the partitioned directory has "
                    + "\(count)")
        }
        if training.batchSize > batchPlan.recordCount {
            lines.append(
                "training.batch-size \(training.batchSize) is more than the "
                    + "\(batchPlan.recordCount) training records: each step takes all of them")
        }
        if training.virtualWorkers > batchPlan.recordCount {
            lines.append(
                "training.virtual-workers \(training.virtualWorkers) is more than the "
                    + "\(batchPlan.recordCount) training records: the others have none")
        }
        let all = training.epochs * batchPlan.stepsPerEpoch
        if let steps = training.steps, steps > all {
            lines.append(
                "training.steps \(steps) is more than the \(all) steps of training.epochs "
                    + "\(training.epochs): the run ends with these")
        }
        if let name = training.instructionSet, backend != .oneDNN {
            lines.append(
                "training.instruction-set \(name) has no effect: backend \(backend.rawValue) gives "
                    + "the same bits on every processor")
        }
        return lines
    }

    private var clusterRemarks: [String] {
        let (cluster, training) = (configuration.cluster, configuration.training)
        var lines: [String] = []
        if training.auditRate > 0, cluster.workers < 2 {
            lines.append(
                "training.audit \(training.auditRate) has no effect with one worker: a second "
                    + "one would compute the same once more")
        }
        if let fanIn = cluster.fanIn, fanIn > 0, cluster.servers == 0 {
            lines.append(
                "cluster.fan-in \(fanIn) has no effect with servers 0: relays add up sums for "
                    + "servers")
        }
        if cluster.workers > tree.leafCount {
            lines.append(
                "cluster.workers \(cluster.workers) is more than the \(tree.leafCount) virtual "
                    + "workers: the others wait to take the place of one that is lost")
        }
        if cluster.threads > usefulThreadCount(cluster.threads) {
            lines.append(
                "cluster.threads \(cluster.threads) is more than a step has work for: a worker starts "
                    + "\(usefulThreadCount(cluster.threads))")
        }
        return lines
    }
}
