import CounterRandom

/// The numbers that golden cases start from, by the tensor's name; `numbers`, `labels` and `picks`
/// in Scripts/golden/golden.py give equal ones.
enum GoldenNumbers {
    /// Returns the 32-bit FNV-1a hash of a name in UTF-8.
    static func hash(_ name: String) -> UInt32 {
        name.utf8.reduce(0x811C_9DC5) { ($0 ^ UInt32($1)) &* 0x0100_0193 }
    }

    /// Returns 64 scattered bits for one element of a tensor: they depend on the name and on the
    /// element's index, on nothing else.
    static func word(_ name: String, _ index: Int) -> UInt64 {
        mix64(UInt64(hash(name)) << 32 | UInt64(index))
    }

    /// Returns base + scale · u, with u in [-1, 1) a multiple of 2⁻²³.
    ///
    /// `scale` is a power of two, so only the sum rounds.
    static func values(_ name: String, count: Int, base: Float = 0, scale: Float = 1) -> [Float] {
        let first = UInt64(hash(name)) << 32
        return (0..<UInt64(count)).map { index in
            let u = Float(mix64(first | index) >> 40) * 0x1p-23 - 1
            return base + scale * u
        }
    }

    /// Returns records: `values`, rounded to multiples of `step` where it is not zero.
    static func images(
        _ name: String = "input", count: Int, elementCount: Int, base: Float = 0, scale: Float = 1,
        step: Float = 0
    ) -> [Float] {
        let values = values(name, count: count * elementCount, base: base, scale: scale)
        if step == 0 { return values }
        return values.map { ($0 / step).rounded(.toNearestOrEven) * step + 0 }
    }

    /// Returns the labels of the first `count` records.
    static func labels(count: Int, classCount: Int) -> [Int32] {
        (0..<count).map { Int32(word("labels", $0) % UInt64(classCount)) }
    }

    /// Returns the indices of the elements that are stored of a large tensor: at most 24, evenly
    /// spaced from the first.
    static func picks(count: Int) -> [Int] {
        count > 24 ? (0..<24).map { $0 * count / 24 } : Array(0..<count)
    }
}

/// What a golden case's parameter starts from.
struct GoldenParameter: Decodable, Sendable {
    let shape: [Int]
    let base: Float
    let scale: Float

    /// Returns the initial values of the parameter of that name.
    func values(_ name: String) -> [Float] {
        GoldenNumbers.values(name, count: shape.reduce(1, *), base: base, scale: scale)
    }
}
