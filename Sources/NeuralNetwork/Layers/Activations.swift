import CKernels
import StrictYAML

/// A function that is applied to each element.
package protocol ElementwiseLayer: Layer {
    /// Returns the function's value.
    func value<Scalar: ReferenceScalar>(_ x: Scalar) -> Scalar
    /// Returns the function's derivative.
    func derivative<Scalar: ReferenceScalar>(_ x: Scalar) -> Scalar
    /// The native backend's kernel for this function; nil for ReLU, which has one of its own.
    var kernel: convoy_activation? { get }
    /// The number that the kernel takes.
    var slope: Float { get }
    init()
}

extension ElementwiseLayer {
    package static var namePrefix: String { kind.split(separator: "-").joined() }
    package var slope: Float { 0 }

    package init(reading settings: StrictMapping) throws(SettingsError) { self.init() }

    package func plan(_ inputs: [[Int]]) throws(LayerProblem) -> LayerPlan { LayerPlan(output: inputs[0]) }

    package func reference<Scalar: ReferenceScalar>(
        _ node: Node, _ parameters: ParameterLayout
    ) -> any ReferenceOperation<Scalar> {
        ReferenceMap<Scalar>(node.inputElementCount, value, derivative: derivative)
    }
}

/// max(x, 0). A NaN stays a NaN. The gradient at 0 is 0.
package struct ReLU: ElementwiseLayer {
    package static let kind = "relu"

    package init() {}

    package var kernel: convoy_activation? { nil }

    package func value<Scalar: ReferenceScalar>(_ x: Scalar) -> Scalar { x <= 0 ? 0 : x }
    package func derivative<Scalar: ReferenceScalar>(_ x: Scalar) -> Scalar { x <= 0 ? 0 : 1 }
}

/// min(max(x, 0), 6). The gradient at 0 and at 6 is 0.
struct ReLU6: ElementwiseLayer {
    static let kind = "relu6"
    // With "relu6" the first name would be that of the 61st ReLU.
    static let namePrefix = "relu6_"
    var kernel: convoy_activation? { CONVOY_RELU6 }

    func value<Scalar: ReferenceScalar>(_ x: Scalar) -> Scalar { x <= 0 ? 0 : x >= 6 ? 6 : x }
    func derivative<Scalar: ReferenceScalar>(_ x: Scalar) -> Scalar { x <= 0 || x >= 6 ? 0 : 1 }
}

/// x where it is above 0, otherwise slope · x.
struct LeakyReLU: ElementwiseLayer {
    static let kind = "leaky-relu"
    static let namePrefix = "leakyrelu"
    /// The factor for values that are not above 0, from 0 to 1.
    var factor = 0.01
    var kernel: convoy_activation? { CONVOY_LEAKY_RELU }
    var slope: Float { Float(factor) }

    init() {}

    init(slope: Double) { factor = slope }

    init(reading settings: StrictMapping) throws(SettingsError) {
        factor = try settings.double("slope", "from 0 to 1", default: 0.01) { $0 >= 0 && $0 <= 1 }
    }

    var settings: [(key: String, text: String)] { [("slope", "\(factor)")] }

    func plan(_ inputs: [[Int]]) throws(LayerProblem) -> LayerPlan {
        try LayerProblem.require(
            factor >= 0 && factor <= 1, "expects a slope from 0 to 1, gets \(factor)")
        return LayerPlan(output: inputs[0])
    }

    func value<Scalar: ReferenceScalar>(_ x: Scalar) -> Scalar { x > 0 ? x : Scalar(factor) * x }
    func derivative<Scalar: ReferenceScalar>(_ x: Scalar) -> Scalar { x > 0 ? 1 : Scalar(factor) }
}

/// x / 6 + 1 / 2, held in 0...1.
struct HardSigmoid: ElementwiseLayer {
    static let kind = "hard-sigmoid"
    var kernel: convoy_activation? { CONVOY_HARD_SIGMOID }

    func value<Scalar: ReferenceScalar>(_ x: Scalar) -> Scalar {
        x <= -3 ? 0 : x >= 3 ? 1 : x / 6 + 0.5
    }
    func derivative<Scalar: ReferenceScalar>(_ x: Scalar) -> Scalar {
        x <= -3 || x >= 3 ? 0 : 1 / 6
    }
}

/// x · hard-sigmoid(x).
struct HardSwish: ElementwiseLayer {
    static let kind = "hard-swish"
    var kernel: convoy_activation? { CONVOY_HARD_SWISH }

    func value<Scalar: ReferenceScalar>(_ x: Scalar) -> Scalar {
        x <= -3 ? 0 : x >= 3 ? x : x * (x / 6 + 0.5)
    }
    func derivative<Scalar: ReferenceScalar>(_ x: Scalar) -> Scalar {
        x <= -3 ? 0 : x < 3 ? x / 3 + 0.5 : 1
    }
}

/// 1 / (1 + e^-x).
struct Sigmoid: ElementwiseLayer {
    static let kind = "sigmoid"
    var kernel: convoy_activation? { CONVOY_SIGMOID }

    func value<Scalar: ReferenceScalar>(_ x: Scalar) -> Scalar { ReferenceMath.sigmoid(x) }
    func derivative<Scalar: ReferenceScalar>(_ x: Scalar) -> Scalar {
        let y = ReferenceMath.sigmoid(x)
        return y * (1 - y)
    }
}

/// The hyperbolic tangent.
struct Tanh: ElementwiseLayer {
    static let kind = "tanh"
    var kernel: convoy_activation? { CONVOY_TANH }

    func value<Scalar: ReferenceScalar>(_ x: Scalar) -> Scalar { ReferenceMath.tanh(x) }
    func derivative<Scalar: ReferenceScalar>(_ x: Scalar) -> Scalar {
        let y = ReferenceMath.tanh(x)
        return 1 - y * y
    }
}

/// x · sigmoid(x), also called swish.
struct SiLU: ElementwiseLayer {
    static let kind = "silu"
    var kernel: convoy_activation? { CONVOY_SILU }

    func value<Scalar: ReferenceScalar>(_ x: Scalar) -> Scalar { x * ReferenceMath.sigmoid(x) }
    func derivative<Scalar: ReferenceScalar>(_ x: Scalar) -> Scalar {
        let y = ReferenceMath.sigmoid(x)
        return y * (1 + x * (1 - y))
    }
}

/// x · Φ(x), where Φ is the distribution function of the standard normal distribution.
struct GELU: ElementwiseLayer {
    static let kind = "gelu"
    var kernel: convoy_activation? { CONVOY_GELU }

    func value<Scalar: ReferenceScalar>(_ x: Scalar) -> Scalar { x * ReferenceMath.normal(x) }
    func derivative<Scalar: ReferenceScalar>(_ x: Scalar) -> Scalar {
        // The density of the standard normal distribution is exp(-x² / 2) / √(2π).
        let density = 0.3989422804014327 * convoy_exp(-Double(x) * Double(x) / 2)
        return ReferenceMath.normal(x) + x * Scalar(density)
    }
}

/// Functions in double precision, without the host's C library.
enum ReferenceMath {
    static func sigmoid<Scalar: ReferenceScalar>(_ x: Scalar) -> Scalar {
        Scalar(1 / (1 + convoy_exp(-Double(x))))
    }

    static func tanh<Scalar: ReferenceScalar>(_ x: Scalar) -> Scalar {
        let x = Double(x)
        // Near 0 the quotient loses digits; two terms of the series are exact to 1e-16 there.
        if abs(x) < 1e-4 { return Scalar(x - x * x * x / 3) }
        return Scalar(1 - 2 / (convoy_exp(2 * x) + 1))
    }

    /// Returns the distribution function of the standard normal distribution.
    static func normal<Scalar: ReferenceScalar>(_ x: Scalar) -> Scalar {
        let x = Double(x)
        guard !x.isNaN else { return .nan }
        if x > 40 { return 1 }
        if x < -40 { return 0 }
        let density = 0.3989422804014327 * convoy_exp(-x * x / 2)
        if abs(x) < 5 {
            // Φ(x) = 1/2 + density · (x + x³/3 + x⁵/(3·5) + ...). Source: Marsaglia, Journal of
            // Statistical Software 11 (2004).
            var term = x
            var sum = x
            var divisor = 3.0
            while abs(term) > 1e-17 * abs(sum) {
                term *= x * x / divisor
                sum += term
                divisor += 2
            }
            return Scalar(0.5 + density * sum)
        }
        // Far from 0 the continued fraction of Mills' ratio converges: 1/(x + 1/(x + 2/(x + ...))).
        var fraction = 0.0
        for number in stride(from: 40, through: 1, by: -1) {
            fraction = Double(number) / (abs(x) + fraction)
        }
        let tail = density / (abs(x) + fraction)
        return Scalar(x > 0 ? 1 - tail : tail)
    }
}
