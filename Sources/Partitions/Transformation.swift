/// A change of an image that is made each time the image is read; the result is not stored.
///
/// Determinism: a random transformation draws from a stream of random numbers that (seed, epoch,
/// record, place in the list) selects. The result therefore does not depend on which process reads
/// a record, when, or how often.
public struct Transformation: Sendable {
    let kind: any ImageTransformation.Type
    let values: TransformationValues

    init(_ kind: any ImageTransformation.Type, _ given: [String: TransformationValue] = [:]) {
        self.kind = kind
        values = TransformationValues(given, for: kind.parameters)
    }

    /// Creates the transformation of that name, with the usual values of the parameters that are
    /// not given.
    ///
    /// - Throws: `badSetting` for an unknown name or parameter, and for a value that the parameter
    ///   cannot have.
    public init(
        _ name: String, _ given: [String: TransformationValue] = [:]
    ) throws(DataError) {
        guard let kind = TransformationRegistry.kind(named: name) else {
            throw DataError(
                .badSetting, file: "transformations", what: "name of a transformation",
                expected: "one of \(TransformationRegistry.names.joined(separator: ", "))",
                found: name)
        }
        for key in given.keys.sorted() where !kind.parameters.contains(where: { $0.name == key }) {
            throw DataError(
                .badSetting, file: name, what: "parameter",
                expected: "one of \(kind.parameters.map(\.name).joined(separator: ", "))",
                found: key)
        }
        self.init(kind, given)
        try checkValues()
    }

    /// (value - mean[c]) / deviation[c] for every channel c, on both splits.
    public static func standardize(mean: [Float], deviation: [Float]) -> Transformation {
        Transformation(
            Standardize.self, ["mean": .floats(mean), "deviation": .floats(deviation)])
    }

    /// Swaps left and right with probability one half, on the training split only.
    public static let randomHorizontalFlip = Transformation(RandomHorizontalFlip.self)

    /// Adds `padding` zeros on each side of the image and cuts out a window of the old size at a
    /// random place, on the training split only. Before `standardize` zero means black; after it
    /// zero means the mean.
    public static func randomCrop(padding: Int) -> Transformation {
        Transformation(RandomCrop.self, ["padding": .whole(padding)])
    }

    /// The name in a run file, for instance "random-crop".
    public var name: String { kind.name }
    /// Whether the transformation draws random numbers.
    public var isRandom: Bool { kind.isRandom }
    /// Whether the transformation also changes test records.
    public var actsOnTestRecords: Bool { kind.actsOnTestRecords }
    /// Whether records get a second label.
    public var mixesLabels: Bool { kind is any MixingTransformation.Type }

    /// The parameters and their values, in the order in which they are written. A parameter without
    /// a value is left out.
    package var settings: [(key: String, value: TransformationValue)] {
        kind.parameters.compactMap { parameter in
            values[parameter.name].map { (parameter.name, $0) }
        }
    }

    /// The transformation in words. Equal values give equal texts on every machine, because Swift
    /// prints floats exactly.
    var canonicalText: String {
        ([name] + settings.map { "\($0.key) \($0.value)" }).joined(separator: " ")
    }

    /// Throws `badSetting` when a parameter has a value that it cannot have, or none.
    func checkValues() throws(DataError) {
        for parameter in kind.parameters {
            let value = values[parameter.name]
            if value == nil && parameter.isOptional { continue }
            guard let value, parameter.allows(value) else {
                throw DataError(
                    .badSetting, file: name, what: parameter.name,
                    expected: parameter.requirement, found: value.map { "\($0)" } ?? "nothing")
            }
        }
    }

    /// Returns what carries the transformation out.
    ///
    /// - Throws: `badSetting` when a parameter has a value that it cannot have.
    func operation() throws(DataError) -> any ImageTransformation {
        try checkValues()
        return kind.init(values)
    }
}

extension Transformation: Hashable {
    /// Returns whether two transformations are of one kind and have equal values.
    public static func == (left: Self, right: Self) -> Bool {
        left.kind == right.kind && left.values == right.values
    }

    /// Hashes the transformation.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(name)
        hasher.combine(values)
    }
}

extension Transformation: Codable {
    private struct Key: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }

        init(_ text: String) { stringValue = text }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    /// Reads `{"randomCrop": {"padding": 4}}`.
    public init(from decoder: any Decoder) throws {
        let outer = try decoder.container(keyedBy: Key.self)
        guard outer.allKeys.count == 1, let key = outer.allKeys.first,
            let kind = TransformationRegistry.kind(coded: key.stringValue)
        else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "no known transformation"))
        }
        let inner = try outer.nestedContainer(keyedBy: Key.self, forKey: key)
        var given: [String: TransformationValue] = [:]
        for parameter in kind.parameters {
            let key = Key(parameter.name)
            guard inner.contains(key) else {
                if parameter.fallback != nil || parameter.isOptional { continue }
                throw DecodingError.keyNotFound(
                    key, .init(codingPath: inner.codingPath, debugDescription: "no value"))
            }
            given[parameter.name] = try Self.value(of: parameter, key, in: inner)
        }
        if let strange = inner.allKeys.first(where: { key in
            !kind.parameters.contains { $0.name == key.stringValue }
        }) {
            throw DecodingError.dataCorruptedError(
                forKey: strange, in: inner, debugDescription: "no known parameter")
        }
        self.init(kind, given)
    }

    private static func value(
        of parameter: TransformationParameter, _ key: Key, in container: KeyedDecodingContainer<Key>
    ) throws -> TransformationValue {
        switch parameter.kind {
        case .whole: return .whole(try container.decode(Int.self, forKey: key))
        case .number: return .number(try container.decode(Double.self, forKey: key))
        case .floats: return .floats(try container.decode([Float].self, forKey: key))
        case .word: return .word(try container.decode(String.self, forKey: key))
        case .range:
            let pair = try container.decode([Double].self, forKey: key)
            if pair.count == 2 { return .range(pair[0], pair[1]) }
        case .size:
            let pair = try container.decode([Int].self, forKey: key)
            if pair.count == 2 { return .size(height: pair[0], width: pair[1]) }
        }
        throw DecodingError.dataCorruptedError(
            forKey: key, in: container, debugDescription: "expected two numbers")
    }

    /// Writes `{"randomCrop": {"padding": 4}}`.
    public func encode(to encoder: any Encoder) throws {
        var outer = encoder.container(keyedBy: Key.self)
        var inner = outer.nestedContainer(keyedBy: Key.self, forKey: Key(kind.codingName))
        for (name, value) in settings {
            let key = Key(name)
            switch value {
            case .whole(let number): try inner.encode(number, forKey: key)
            case .number(let number): try inner.encode(number, forKey: key)
            case .floats(let numbers): try inner.encode(numbers, forKey: key)
            case .range(let lower, let upper): try inner.encode([lower, upper], forKey: key)
            case .size(let height, let width): try inner.encode([height, width], forKey: key)
            case .word(let word): try inner.encode(word, forKey: key)
            }
        }
    }
}
