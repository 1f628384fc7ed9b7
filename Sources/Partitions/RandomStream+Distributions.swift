import CKernels
import CounterRandom

/// Numbers of some distributions, drawn without the host's C library: they consist of IEEE
/// operations, `convoy_exp` and `convoy_log`, which have the same bits on every host.
extension RandomStream {
    /// Returns a number above 0 and below 1, an odd multiple of 2⁻³³.
    mutating func nextOpenUniform() -> Double { (Double(next32()) + 0.5) * 0x1p-32 }

    /// Returns a number from a range, each as likely.
    mutating func next(in range: ClosedRange<Double>) -> Double {
        range.lowerBound + nextOpenUniform() * (range.upperBound - range.lowerBound)
    }

    /// Returns two independent numbers of the standard normal distribution.
    ///
    /// Source: Marsaglia and Bray, "A convenient method for generating normal variables" (SIAM
    /// Review 6, 1964), the polar method.
    mutating func nextNormals() -> (Double, Double) {
        while true {
            let u = 2 * nextOpenUniform() - 1
            let v = 2 * nextOpenUniform() - 1
            let square = u * u + v * v
            guard square > 0, square < 1 else { continue }
            let factor = (-2 * convoy_log(square) / square).squareRoot()
            return (u * factor, v * factor)
        }
    }

    /// Returns the logarithm of a number of the gamma distribution with this shape and scale 1.
    ///
    /// Source: Marsaglia and Tsang, "A simple method for generating gamma variables" (ACM TOMS 26,
    /// 2000). A shape a below 1 is drawn as Gamma(a + 1) · U^(1/a), in logarithms, so that nothing
    /// underflows.
    private mutating func nextLogGamma(_ shape: Double) -> Double {
        let d = (shape < 1 ? shape + 1 : shape) - 1.0 / 3
        let c = 1 / (9 * d).squareRoot()
        while true {
            let x = nextNormals().0
            let root = 1 + c * x
            guard root > 0 else { continue }
            let v = root * root * root
            guard convoy_log(nextOpenUniform()) < 0.5 * x * x + d - d * v + d * convoy_log(v)
            else { continue }
            let logarithm = convoy_log(d) + convoy_log(v)
            return shape < 1 ? logarithm + convoy_log(nextOpenUniform()) / shape : logarithm
        }
    }

    /// Returns a number from 0 to 1 of the distribution Beta(alpha, alpha): the share of one of two
    /// gamma numbers in their sum.
    mutating func nextBeta(_ alpha: Double) -> Double {
        let first = nextLogGamma(alpha)
        let second = nextLogGamma(alpha)
        return 1 / (1 + convoy_exp(second - first))
    }
}
