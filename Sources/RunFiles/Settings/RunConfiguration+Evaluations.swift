import ClusterProtocol
import NeuralNetwork

extension RunMaterial {
    /// The rules by which the coordinator judges evaluations.
    public var evaluationRules: EvaluationRules {
        var plateau = configuration.training.plateau
        // PyTorch leaves out a reduction of the rate by 1e-8 or less.
        if let rate = configuration.optimizer["learning-rate"], rate > 0 {
            plateau?.leastChange = 1e-8 / rate
        }
        return EvaluationRules(stopping: configuration.training.earlyStopping, plateau: plateau)
    }
}

extension RunConfiguration {
    /// Refuses settings that the data set or the length of the run gives no meaning.
    func requireFitting(_ data: DataSummary, stepsPerEpoch: Int) throws(RunError) {
        let deciding = [
            training.plateau == nil ? nil : "training.schedule: plateau",
            training.earlyStopping == nil ? nil : "training.early-stopping",
        ].compactMap { $0 }
        if data.testCount == 0, let setting = deciding.first {
            throw .configuration(
                "\(setting) is decided from test records: expected at least one, found 0 in "
                    + "\(data.name); add a test set, or leave the setting out")
        }
        let total = totalSteps(stepsPerEpoch: stepsPerEpoch)
        let warmup = training.schedule.warmup.updates(stepsPerEpoch: stepsPerEpoch)
        if warmup > total {
            throw .configuration(
                "training.schedule: expected a warm-up of at most the run's \(total) steps, found "
                    + "\(warmup); shorten it, or train for longer")
        }
        guard case .multiStep(let times, _) = training.schedule.shape else { return }
        let updates = times.map { $0.updates(stepsPerEpoch: stepsPerEpoch) }
        if let late = updates.first(where: { $0 >= total }) {
            throw .configuration(
                "training.schedule: expected every time below the run's \(total) steps, found "
                    + "\(late); leave it out, or train for longer")
        }
    }

    /// Refuses a metric that the loss does not have.
    func requireMetrics(of loss: LossFunction) throws(RunError) {
        guard !loss.hasAccuracy else { return }
        for (key, metric) in [
            ("training.early-stopping", training.earlyStopping?.metric),
            ("training.schedule", training.plateau?.metric),
        ] where metric == .testAccuracy {
            throw .configuration(
                "\(key): expected metric test-loss, since the loss \(loss.name) has no accuracy, "
                    + "found test-accuracy")
        }
    }

    /// Refuses settings that are decided from evaluations, for a process that makes none.
    func requireNoEvaluations() throws(RunError) {
        let advice = "which a Trainer does not make; train with `convoy train`, or leave it out"
        if training.plateau != nil {
            throw .configuration(
                "training.schedule: plateau is decided from evaluations, \(advice)")
        }
        if training.earlyStopping != nil {
            throw .configuration("training.early-stopping is decided from evaluations, \(advice)")
        }
    }
}
