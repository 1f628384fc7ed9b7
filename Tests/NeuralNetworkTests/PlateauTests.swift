import ClusterProtocol
import Testing

/// Compares the reductions of the learning rate with torch.optim.lr_scheduler.ReduceLROnPlateau.
@Suite struct PlateauTests {
    @Test(arguments: GoldenCase.load("plateau"))
    func matchesPyTorch(golden: GoldenCase) {
        let base = golden.number("learning-rate")
        let isAccuracy = golden.count("is-accuracy") == 1
        let rules = EvaluationRules(
            plateau: RatePlateau(
                metric: isAccuracy ? .testAccuracy : .testLoss, factor: golden.number("factor"),
                patience: golden.count("patience"), threshold: golden.number("threshold"),
                isRelative: golden.count("is-relative") == 1, cooldown: golden.count("cooldown"),
                minimumFactor: golden.number("min-lr") / base, leastChange: 1e-8 / base))
        let (metric, rate, rest) = (golden["metric"], golden["rate"], golden["rest"])
        var judgement: Judgement?
        var factors: Set<Double> = []
        for index in metric.indices {
            let summary = EvaluationSummary(
                step: Step(index + 1), recordCount: isAccuracy ? golden.count("records") : 1,
                correctCount: isAccuracy ? Int(metric[index]) : 0,
                lossSum: isAccuracy ? 0 : Double(metric[index]), trainingSeconds: 0)
            judgement = rules.judge(summary, after: judgement)
            let found = base * (judgement?.rateFactor ?? 1)
            let expected = Double(rate[index]) + Double(rest[index])
            #expect(
                abs(found - expected) <= 1e-12 * expected,
                "\(golden.name) epoch \(index + 1): \(found), expected \(expected)")
            factors.insert(found)
        }
        #expect(factors.count > 1, "\(golden.name) reduces nothing")
    }
}
