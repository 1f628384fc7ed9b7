import Partitions
import StrictYAML

extension Transformation {
    /// Reads an entry of the run file's list of transformations: a name, or a name with settings.
    package init(_ value: StrictValue) throws(SettingsError) {
        let name: String
        let settings: StrictMapping
        if value.isScalar {
            name = try value.string()
            settings = StrictMapping(empty: value)
        } else {
            let entry = try value.mapping()
            guard entry.keys.count == 1, let key = entry.keys.first else {
                throw value.expected("one transformation, as in `- random-crop: {padding: 4}`")
            }
            name = key
            settings = try entry.mapping(key)
        }
        guard let kind = TransformationKind.all.first(where: { $0.name == name }) else {
            throw value.error(
                StrictMapping.unknownText(
                    "transformation", name, allowed: TransformationKind.all.map(\.name)))
        }
        var given: [String: TransformationValue] = [:]
        for parameter in kind.parameters {
            if let value = settings.value(parameter.name) {
                given[parameter.name] = try TransformationValue(value, for: parameter)
            } else if parameter.fallback == nil && !parameter.isOptional {
                throw settings.error("is required here, but missing", key: parameter.name)
            }
        }
        try settings.finish()
        self = kind.transformation(given)
    }

    /// The entry of the run file's list.
    package var yaml: String {
        let settings = settings.map { "\($0.key): \($0.value)" }
        return "\(name): {\(settings.joined(separator: ", "))}"
    }
}

extension TransformationValue {
    /// Reads the value of a parameter.
    fileprivate init(
        _ value: StrictValue, for parameter: TransformationParameter
    ) throws(SettingsError) {
        let found: TransformationValue
        switch parameter.kind {
        case .whole(let limits): found = .whole(try value.integer(in: limits))
        case .number(let limits):
            found = .number(
                try value.double("from \(limits.lowerBound) to \(limits.upperBound)") {
                    limits.contains($0)
                })
        case .floats:
            var numbers: [Float] = []
            for number in try value.list() { numbers.append(Float(try number.double())) }
            found = .floats(numbers)
        case .range:
            guard value.isList, let list = try? value.list(), list.count == 2 else {
                throw value.expected(parameter.requirement)
            }
            found = .range(try list[0].double(), try list[1].double())
        case .size:
            let limits = TransformationParameter.sizeLimits
            guard value.isList else {
                let side = try value.integer(in: limits)
                found = .size(height: side, width: side)
                break
            }
            let list = try value.list()
            guard list.count == 2 else { throw value.expected(parameter.requirement) }
            found = .size(
                height: try list[0].integer(in: limits), width: try list[1].integer(in: limits))
        case .word(let words): found = .word(try value.oneOf(words))
        }
        guard parameter.allows(found) else { throw value.expected(parameter.requirement) }
        self = found
    }
}
