/// A value of a transformation's parameter.
public enum TransformationValue: Sendable, Hashable {
    /// A whole number.
    case whole(Int)
    /// A number.
    case number(Double)
    /// Numbers, one for each channel.
    case floats([Float])
    /// A range from which numbers are drawn.
    case range(Double, Double)
    /// A height and a width in pixels.
    case size(height: Int, width: Int)
    /// One of a few words.
    case word(String)
}

/// A parameter of a kind of transformations: its name, the values that it can have, and the value
/// that it has when none is given. Run files, checkpoints and documents are read and written from
/// these declarations.
package struct TransformationParameter: Sendable, Hashable {
    /// The values that a parameter can have.
    package enum Kind: Sendable, Hashable {
        case whole(ClosedRange<Int>)
        case number(ClosedRange<Double>)
        /// Finite numbers, one for each channel.
        case floats
        /// Two numbers within these limits, the first not above the second.
        case range(ClosedRange<Double>)
        /// A height and a width; a single number means both.
        case size
        case word([String])
    }

    /// The largest height and width of a size.
    package static let sizeLimits = 1...4096

    /// The name, the same in a run file and in a checkpoint.
    package let name: String
    /// The values that are possible.
    package let kind: Kind
    /// The value when none is given.
    package let fallback: TransformationValue?
    /// Whether the parameter may be left out although it has no usual value.
    package let isOptional: Bool

    init(
        _ name: String, _ kind: Kind, default fallback: TransformationValue? = nil,
        isOptional: Bool = false
    ) {
        self.name = name
        self.kind = kind
        self.fallback = fallback
        self.isOptional = isOptional
    }

    /// The possible values in words.
    package var requirement: String {
        switch kind {
        case .whole(let limits):
            "a whole number from \(limits.lowerBound) to \(limits.upperBound)"
        case .number(let limits): "a number from \(limits.lowerBound) to \(limits.upperBound)"
        case .floats: "a list of finite numbers, one for each channel"
        case .range(let limits):
            "two numbers [A, B] with \(limits.lowerBound) ≤ A ≤ B ≤ \(limits.upperBound)"
        case .size:
            "a number of pixels or [height, width], each from \(Self.sizeLimits.lowerBound) to "
                + "\(Self.sizeLimits.upperBound)"
        case .word(let words): "one of \(words.joined(separator: ", "))"
        }
    }

    /// Returns whether the parameter can have this value.
    package func allows(_ value: TransformationValue) -> Bool {
        switch (kind, value) {
        case (.whole(let limits), .whole(let number)): limits.contains(number)
        case (.number(let limits), .number(let number)): limits.contains(number)
        case (.floats, .floats(let numbers)): !numbers.isEmpty && numbers.allSatisfy(\.isFinite)
        case (.range(let limits), .range(let lower, let upper)):
            limits.contains(lower) && limits.contains(upper) && lower <= upper
        case (.size, .size(let height, let width)):
            Self.sizeLimits.contains(height) && Self.sizeLimits.contains(width)
        case (.word(let words), .word(let word)): words.contains(word)
        default: false
        }
    }
}

/// The values of all parameters of one transformation.
struct TransformationValues: Sendable, Hashable {
    private(set) var values: [String: TransformationValue]

    /// Completes the given values by the usual ones.
    init(_ given: [String: TransformationValue], for parameters: [TransformationParameter]) {
        values = given
        for parameter in parameters where values[parameter.name] == nil {
            values[parameter.name] = parameter.fallback
        }
    }

    subscript(name: String) -> TransformationValue? { values[name] }

    func whole(_ name: String) -> Int {
        guard case .whole(let number)? = values[name] else { missing(name) }
        return number
    }

    func number(_ name: String) -> Double {
        guard case .number(let number)? = values[name] else { missing(name) }
        return number
    }

    func floats(_ name: String) -> [Float] {
        guard case .floats(let numbers)? = values[name] else { missing(name) }
        return numbers
    }

    func range(_ name: String) -> ClosedRange<Double> {
        guard case .range(let lower, let upper)? = values[name], lower <= upper else {
            missing(name)
        }
        return lower...upper
    }

    func size(_ name: String) -> (height: Int, width: Int) {
        guard let size = optionalSize(name) else { missing(name) }
        return size
    }

    func optionalSize(_ name: String) -> (height: Int, width: Int)? {
        guard case .size(let height, let width)? = values[name] else { return nil }
        return (height, width)
    }

    func word(_ name: String) -> String {
        guard case .word(let word)? = values[name] else { missing(name) }
        return word
    }

    private func missing(_ name: String) -> Never {
        preconditionFailure("a transformation without a good value of \(name)")
    }
}

extension TransformationValue: CustomStringConvertible {
    /// The value as a run file writes it.
    public var description: String {
        switch self {
        case .whole(let number): "\(number)"
        case .number(let number): "\(number)"
        case .floats(let numbers): "\(numbers)"
        case .range(let lower, let upper): "[\(lower), \(upper)]"
        case .size(let height, let width): "[\(height), \(width)]"
        case .word(let word): word
        }
    }
}
