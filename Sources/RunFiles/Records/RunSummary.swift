import ClusterProtocol

/// The content of `summary.json`.
package struct RunSummary {
    /// The keys and their values as JSON, in the order of the file.
    package let fields: [(String, String)]

    /// Creates the summary of a run that has ended.
    ///
    /// - Parameters:
    ///   - end: how the run ended.
    ///   - material: the run.
    ///   - evaluation: the last evaluation; it counts only if it is of the last step.
    ///   - trainLoss: the mean loss of the last epoch; nil when it is not known.
    ///   - imagesPerSecond: the records trained per second of training.
    ///   - weightsSHA256: the digest of the last weights.
    ///   - recordCount: the number of records of all steps; nil derives it from the plan.
    package init(
        _ end: CoordinatorMachine.Outcome, material: RunMaterial,
        evaluation: CoordinatorMachine.EvaluationSummary?, trainLoss: Double?,
        imagesPerSecond: Double, weightsSHA256: String, recordCount: Int? = nil
    ) {
        let plan = material.batchPlan
        let steps = end.step.value
        let inEpoch = plan.stepInEpoch(steps)
        let partial = (0..<inEpoch).reduce(0) { $0 + plan.recordCount(step: steps - inEpoch + $1) }
        let records = recordCount ?? plan.epoch(ofStep: steps) * plan.recordCount + partial
        let known = evaluation?.step.value == steps ? evaluation : nil
        // Without test records there is no mean.
        let current = known?.recordCount == 0 ? nil : known
        let count = Double(max(1, current?.recordCount ?? 1))
        let training = material.configuration.training
        fields = [
            ("steps", "\(steps)"),
            ("epochs", "\(plan.epoch(ofStep: steps))"),
            ("records", "\(records)"),
            ("train_loss", trainLoss.map(JSONText.number) ?? "null"),
            ("test_loss", current.map { JSONText.number($0.lossSum / count) } ?? "null"),
            (
                "test_accuracy",
                current.flatMap { current in
                    material.loss.hasAccuracy
                        ? JSONText.number(Double(current.correctCount) / count) : nil
                } ?? "null"
            ),
            ("images_per_second", JSONText.number(imagesPerSecond)),
            ("seconds", JSONText.number(end.trainingSeconds)),
            ("weights_sha256", JSONText.string(weightsSHA256)),
            ("workers", "\(end.workerCount)"),
            ("backend", JSONText.string(material.backend.rawValue)),
            ("isa", JSONText.string(end.instructionSet)),
            ("precision", JSONText.string(training.precision.rawValue)),
            ("wire_precision", JSONText.string(training.wirePrecision.rawValue)),
            ("exit_code", "\(end.exitCode)"),
            ("reason", JSONText.string(end.reason)),
        ]
    }

    /// Returns the value of a key as JSON, or nil for an unknown key.
    package subscript(name: String) -> String? { fields.first { $0.0 == name }?.1 }

    /// The text of the file.
    package var json: String {
        "{\n" + fields.map { "  \(JSONText.string($0)): \($1)" }.joined(separator: ",\n") + "\n}\n"
    }
}
