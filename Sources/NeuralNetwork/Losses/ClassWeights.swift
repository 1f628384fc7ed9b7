import StrictYAML

/// The weights of the classes in the loss.
public enum ClassWeights: Sendable, Hashable {
    /// Every class weighs 1.
    case equal
    /// A class weighs more the fewer training records it has: N / (K · count), with N training
    /// records in K classes. A class without training records weighs 0.
    ///
    /// Source: `class_weight="balanced"` of scikit-learn, whose K counts classes with records too.
    case balanced
    /// One weight a class.
    case each([Double])

    private static let requirement = "of 0, or from 1e-06 to 1e+06"

    /// Whether a number can be a weight. Sums of weights then stay far from the limits of a float.
    private static func isAllowed(_ weight: Double) -> Bool {
        weight == 0 || (1e-6...1e6).contains(weight)
    }

    /// Reads `balanced` or a list of numbers.
    init(reading value: StrictValue) throws(SettingsError) {
        guard value.isList else {
            guard (try? value.string()) == "balanced" else {
                throw value.expected("balanced or a list of numbers")
            }
            self = .balanced
            return
        }
        var weights: [Double] = []
        for element in try value.list() {
            weights.append(try element.double(Self.requirement, where: Self.isAllowed))
        }
        guard weights.contains(where: { $0 > 0 }) else {
            throw value.error("expected at least one weight above 0, found none")
        }
        self = .each(weights)
    }

    /// The weights as a run file writes them; nil for equal weights.
    var text: String? {
        switch self {
        case .equal: nil
        case .balanced: "balanced"
        case .each(let weights): "[\(weights.map { "\($0)" }.joined(separator: ", "))]"
        }
    }

    /// Returns equal weights, or one weight an output.
    func resolved(classHistogram: [Int], outputCount: Int) throws(LossError) -> ClassWeights {
        func refuse(_ problem: String) -> LossError {
            LossError(key: "class-weights", problem: problem)
        }
        switch self {
        case .equal: return .equal
        case .balanced:
            // Doubles, because the counts may have come over the network.
            let counts = classHistogram.map { Double(max(0, $0)) }
            let present = counts.count { $0 > 0 }
            guard present > 0, counts.count <= outputCount else {
                throw refuse("expected a data set that counts its classes, found none")
            }
            let all = counts.reduce(0, +)
            let weights = counts.map { $0 > 0 ? all / (Double(present) * $0) : 0 }
            return .each(weights + [Double](repeating: 0, count: outputCount - counts.count))
        case .each(let weights):
            guard weights.count == outputCount else {
                throw refuse(
                    "expected \(outputCount) numbers, one for each output of the model, found "
                        + "\(weights.count)")
            }
            if let wrong = weights.first(where: { !Self.isAllowed($0) }) {
                throw refuse("expected numbers \(Self.requirement), found \(wrong)")
            }
            guard weights.contains(where: { $0 > 0 }) else {
                throw refuse("expected at least one weight above 0, found none")
            }
            return self
        }
    }
}
