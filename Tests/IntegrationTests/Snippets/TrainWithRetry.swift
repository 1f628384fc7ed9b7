import RunFiles

/// Trains. When the training diverges, it begins anew with a tenth of the learning rate.
func trainWithRetry(_ settings: RunConfiguration, retries: Int) throws(RunError) -> Model {
    do throws(RunError) {
        let trainer = try Trainer(settings)
        try trainer.train()
        return try trainer.model()
    } catch {
        guard error.kind == .divergence, retries > 0 else { throw error }
        print(error.text)
        var calmer = settings
        calmer.optimizer["learning-rate"]? /= 10
        return try trainWithRetry(calmer, retries: retries - 1)
    }
}
