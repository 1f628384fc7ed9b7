import ClusterProtocol

/// What `summary.json` says.
package struct RunSummary {
    package let fields: [(String, String)]

    /// - Parameter recordCount: records of all steps; nil: what the plan says.
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
        // Of no records there is no mean.
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
                current.map { JSONText.number(Double($0.correctCount) / count) } ?? "null"
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

    package subscript(name: String) -> String? { fields.first { $0.0 == name }?.1 }

    package var json: String {
        "{\n" + fields.map { "  \(JSONText.string($0)): \($1)" }.joined(separator: ",\n") + "\n}\n"
    }
}
