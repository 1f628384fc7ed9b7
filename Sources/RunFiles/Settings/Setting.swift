import ClusterProtocol
import NeuralNetwork
import StrictYAML

/// One setting of a run: where it stands, what it may be, and what it means.
///
/// ``all`` is the one table of them. The run file's reader and writer, the flags of the command line
/// and their help, what a resumed run compares, `Cluster/local.yaml` and the table in the documents
/// come from it, so that a new setting is one entry there and one property of ``RunConfiguration``.
public struct Setting: Sendable {
    /// The run file's key with its section, for instance "training.batch-size".
    public let key: String
    /// The command line's flag without its hyphens; nil where the run file alone can say it.
    public private(set) var flag: String?
    /// Whether `--flag` and `--no-flag` say it, without a value.
    public let isSwitch: Bool
    /// What may be written, for help texts: "1 to 4096", "fp32, bf16", "DIR".
    public let values: String
    /// What it means, in a sentence or two.
    public let summary: String
    /// A value to show where there is no default.
    public let example: String?
    /// How it takes part in what decides the bits of the result.
    package let decision: Decision
    /// The value as the run file writes it; nil where nothing is set, or where it has no meaning.
    package let text: @Sendable (RunConfiguration) -> Text?
    /// Whether it has a meaning beside the settings that stand before it.
    private(set) var applies: @Sendable (RunConfiguration) -> Bool = { _ in true }
    /// Reads a value; throws a `SettingsError`, or the error of a file that the value names.
    package let read: @Sendable (StrictValue, inout RunConfiguration) throws -> Void

    /// A value as YAML writes it.
    package enum Text {
        /// After the key, on its line.
        case inline(String)
        /// Below the key, line by line.
        case block([String])
    }

    package enum Decision: Sendable {
        /// It may change when a run is taken up again.
        case no
        /// Its value decides bits.
        case value
        /// What it came to decides bits; nil when it does not, there.
        case resolved(@Sendable (RunConfiguration, ResolvedFacts) -> String?)
    }

    /// What some settings came to on the way from the run file to the run.
    package struct ResolvedFacts {
        package var data: DataSummary
        package var modelFingerprint: String
        package var backend: BackendKind
    }

    /// Whether a resumed run refuses another value.
    public var decidesBits: Bool { if case .no = decision { false } else { true } }

    /// The key's section, "" for a key of its own, and its name there.
    public var place: (section: String, name: String) {
        let parts = key.split(separator: ".", maxSplits: 1).map(String.init)
        return parts.count == 2 ? (parts[0], parts[1]) : ("", key)
    }

    /// The value on one line; nil where nothing is set, or the value takes several lines.
    public func inlineText(_ configuration: RunConfiguration) -> String? {
        if case .inline(let text) = text(configuration) { text } else { nil }
    }

    /// The setting with this key.
    public static func named(_ key: String) -> Setting? { all.first { $0.key == key } }
}

// MARK: - Kinds

extension Setting {
    package typealias Path<Value> = WritableKeyPath<RunConfiguration, Value> & Sendable

    /// - Parameter flag: nil for the key's name.
    package init(
        _ key: String, flag: String? = nil, isSwitch: Bool = false, values: String,
        example: String? = nil, decides decision: Decision = .no, _ summary: String,
        text: @escaping @Sendable (RunConfiguration) -> Text?,
        read: @escaping @Sendable (StrictValue, inout RunConfiguration) throws -> Void
    ) {
        self.key = key
        self.flag = flag ?? String(key.split(separator: ".").last ?? "")
        self.isSwitch = isSwitch
        self.values = values
        self.summary = summary
        self.example = example
        self.decision = decision
        self.text = text
        self.read = read
    }

    /// A whole number.
    package static func whole(
        _ key: String, _ path: Path<Int>, _ range: ClosedRange<Int>, decides: Decision = .no,
        _ summary: String
    ) -> Setting {
        Setting(
            key, values: "\(range.lowerBound) to \(range.upperBound)", decides: decides, summary,
            text: { .inline("\($0[keyPath: path])") },
            read: { $1[keyPath: path] = try $0.integer(in: range) })
    }

    /// A whole number that need not be given.
    package static func optionalWhole(
        _ key: String, _ path: Path<Int?>, _ range: ClosedRange<Int>, example: String,
        _ summary: String
    ) -> Setting {
        Setting(
            key, values: "\(range.lowerBound) to \(range.upperBound)", example: example, summary,
            text: { $0[keyPath: path].map { .inline("\($0)") } },
            read: { $1[keyPath: path] = try $0.integer(in: range) })
    }

    /// One of an enumeration's raw values.
    package static func choice<Choice: RawRepresentable<String> & CaseIterable & SendableMetatype>(
        _ key: String, _ path: Path<Choice>, decides: Decision = .no, _ summary: String
    ) -> Setting {
        Setting(
            key, values: Choice.allCases.map(\.rawValue).joined(separator: ", "), decides: decides,
            summary, text: { .inline($0[keyPath: path].rawValue) },
            read: { $1[keyPath: path] = try $0.oneOf(Choice.self) })
    }

    /// True or false; `--flag` or `--no-flag`.
    package static func boolean(_ key: String, _ path: Path<Bool>, _ summary: String) -> Setting {
        Setting(
            key, isSwitch: true, values: "true, false", summary,
            text: { .inline("\($0[keyPath: path])") },
            read: { $1[keyPath: path] = try $0.boolean() })
    }

    /// One of an optimizer's numbers.
    package static func optimizerNumber(_ number: OptimizerNumber) -> Setting {
        Setting(
            "optimizer.\(number.key)", values: "number \(number.requirement)", decides: .value,
            number.summary,
            text: { $0.optimizer[number.key].map { .inline("\($0)") } },
            read: { value, configuration in
                configuration.optimizer[number.key] = try value.double(
                    number.requirement, where: number.isAllowed)
            }
        ).where { $0.optimizer[number.key] != nil }
    }

    /// The same setting, which has a meaning in some configurations alone.
    package func `where`(_ applies: @escaping @Sendable (RunConfiguration) -> Bool) -> Setting {
        var copy = self
        copy.applies = applies
        return copy
    }

    /// The same setting, which the run file alone can say.
    package var withoutFlag: Setting {
        var copy = self
        copy.flag = nil
        return copy
    }
}
