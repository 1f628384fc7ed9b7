import NeuralNetwork
import Testing

/// Compares the factors of learning rates with torch.optim.lr_scheduler.
@Suite struct LearningRateScheduleTests {
    /// The cases whose schedule Convoy has: its warm-up rises by equal steps to the first rate, and
    /// its one-cycle anneals along a cosine.
    static let cases = GoldenCase.load("schedules").filter {
        !$0.name.contains("linear-warmup") && $0.name != "one-cycle-linear"
            && (!$0.name.hasSuffix("-warmup"))
    }

    @Test(arguments: cases)
    func matchesPyTorch(golden: GoldenCase) throws {
        func steps(_ key: String) -> LearningRateSchedule.Span { .steps(golden.count(key)) }
        let shape: LearningRateSchedule.Shape
        let names = LearningRateSchedule.names
        switch names[golden.count("kind")] {
        case "constant": shape = .constant
        case "step": shape = .step(every: steps("every"), factor: golden.number("factor"))
        case "multi-step":
            shape = .multiStep(
                at: [steps("milestone1"), steps("milestone2"), steps("milestone3")],
                factor: golden.number("factor"))
        case "cosine":
            shape = .cosine(minimum: golden.number("minimum") / golden.number("learning-rate"))
        case "polynomial": shape = .polynomial(power: golden.number("power"))
        default:
            shape = .oneCycle(
                rising: golden.number("rising"), divisor: golden.number("divisor"),
                lastDivisor: golden.number("last-divisor"))
        }
        let schedule = LearningRateSchedule(shape, warmup: steps("warmup"))
        #expect(schedule.name == names[golden.count("kind")])
        let (rate, rest) = (golden["rate"], golden["rest"])
        for index in rate.indices {
            let expected = Double(rate[index]) + Double(rest[index])
            let found =
                golden.number("learning-rate")
                * schedule.factor(update: 7 * index, total: 1000, stepsPerEpoch: 10)
            #expect(
                abs(found - expected) <= 1e-12 + 1e-12 * expected,
                "\(golden.name) update \(7 * index): \(found), expected \(expected)")
        }
    }

    @Test func epochsAreUpdates() {
        let inEpochs = LearningRateSchedule(
            .multiStep(at: [.epochs(2), .epochs(3.5)], factor: 0.1), warmup: .epochs(0.5))
        let inSteps = LearningRateSchedule(
            .multiStep(at: [.steps(20), .steps(35)], factor: 0.1), warmup: .steps(5))
        for update in 0..<50 {
            #expect(
                inEpochs.factor(update: update, total: 50, stepsPerEpoch: 10)
                    == inSteps.factor(update: update, total: 50, stepsPerEpoch: 10))
        }
        #expect(inSteps.factor(update: 0, total: 50, stepsPerEpoch: 10) == 0.2)
        #expect(inSteps.factor(update: 19, total: 50, stepsPerEpoch: 10) == 1)
        #expect(inSteps.factor(update: 20, total: 50, stepsPerEpoch: 10) == 0.1)
    }
}
