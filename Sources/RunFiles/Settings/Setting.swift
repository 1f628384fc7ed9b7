import ClusterProtocol
import NeuralNetwork
import StrictYAML

/// One setting of a run: its key, its flag, its values and its meaning.
///
/// ``all`` is the only table of settings. Everything else comes from it: the reader and the writer
/// of the run file, the flags of the command line and their help, what a resumed run compares,
/// `Cluster/local.yaml` and the table in the documents. So a new setting is one entry in the table
/// and one property of ``RunConfiguration``.
public struct Setting: Sendable {
    /// The run file's key with its section, for instance "training.batch-size".
    public let key: String
    /// The command line's flag without its hyphens; nil for a setting that only the run file has.
    public private(set) var flag: String?
    /// Whether the flag has no value and is written as `--flag` or `--no-flag`.
    public let isSwitch: Bool
    /// Whether the flag may be repeated: the values make a list.
    public private(set) var isRepeatable = false
    /// The allowed values, for help texts: "1 to 4096", "fp32, bf16", "DIR".
    public let values: String
    /// The meaning, in a sentence or two.
    public let summary: String
    /// A value to show where there is no default.
    public let example: String?
    /// How the setting takes part in deciding the bits of the result.
    package let decision: Decision
    /// The value as the run file writes it; nil where nothing is set or the setting has no meaning.
    package let text: @Sendable (RunConfiguration) -> Text?
    /// Whether the setting has a meaning, given the settings that come before it.
    private(set) var applies: @Sendable (RunConfiguration) -> Bool = { _ in true }
    /// Reads a value. Throws a `SettingsError`, or the error of a file that the value names.
    package let read: @Sendable (StrictValue, inout RunConfiguration) throws -> Void

    /// A value as YAML writes it.
    package enum Text {
        /// The value is written after the key, on the same line.
        case inline(String)
        /// The value is written below the key, one element a line.
        case block([String])
    }

    /// Whether a setting decides bits.
    package enum Decision: Sendable {
        /// The setting does not decide bits. It may change when a run is resumed.
        case no
        /// The value decides bits.
        case value
        /// The value that the setting stands for decides bits. The closure returns nil where it
        /// does not.
        case resolved(@Sendable (RunConfiguration, ResolvedFacts) -> String?)
    }

    /// The values that some settings stand for, which are known only after the data set and the
    /// model have been read.
    package struct ResolvedFacts {
        /// The data set.
        package var data: DataSummary
        /// The fingerprint of the network.
        package var modelFingerprint: String
        /// The backend that `auto` stands for.
        package var backend: BackendKind
    }

    /// Whether a resumed run refuses another value.
    public var decidesBits: Bool { if case .no = decision { false } else { true } }

    /// The key's section and the name within it. The section is "" for a key without one.
    public var place: (section: String, name: String) {
        let parts = key.split(separator: ".", maxSplits: 1).map(String.init)
        return parts.count == 2 ? (parts[0], parts[1]) : ("", key)
    }

    /// Returns the value on one line, or nil where nothing is set or the value takes several lines.
    public func inlineText(_ configuration: RunConfiguration) -> String? {
        if case .inline(let text) = text(configuration) { text } else { nil }
    }

    /// Returns the setting with this key, or nil for an unknown key.
    public static func named(_ key: String) -> Setting? { all.first { $0.key == key } }
}

// MARK: - Kinds

extension Setting {
    /// The path of a setting's property.
    package typealias Path<Value> = WritableKeyPath<RunConfiguration, Value> & Sendable

    /// Creates a setting.
    ///
    /// - Parameters:
    ///   - key: the key in the run file.
    ///   - flag: the flag without its hyphens; nil takes the key's name within its section.
    ///   - isSwitch: whether the flag takes no value.
    ///   - values: the values that are allowed, for people.
    ///   - example: the value in the example file.
    ///   - decision: how the setting decides bits.
    ///   - summary: one sentence for people.
    ///   - text: writes a value.
    ///   - read: reads a value.
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

    /// Returns a setting that is a whole number.
    package static func whole(
        _ key: String, _ path: Path<Int>, _ range: ClosedRange<Int>, decides: Decision = .no,
        _ summary: String
    ) -> Setting {
        Setting(
            key, values: "\(range.lowerBound) to \(range.upperBound)", decides: decides, summary,
            text: { .inline("\($0[keyPath: path])") },
            read: { $1[keyPath: path] = try $0.integer(in: range) })
    }

    /// Returns a setting that is a whole number and need not be given.
    package static func optionalWhole(
        _ key: String, _ path: Path<Int?>, _ range: ClosedRange<Int>, example: String,
        _ summary: String
    ) -> Setting {
        Setting(
            key, values: "\(range.lowerBound) to \(range.upperBound)", example: example, summary,
            text: { $0[keyPath: path].map { .inline("\($0)") } },
            read: { $1[keyPath: path] = try $0.integer(in: range) })
    }

    /// Returns a setting that is one of an enumeration's raw values.
    package static func choice<Choice: RawRepresentable<String> & CaseIterable & SendableMetatype>(
        _ key: String, _ path: Path<Choice>, decides: Decision = .no, _ summary: String
    ) -> Setting {
        Setting(
            key, values: Choice.allCases.map(\.rawValue).joined(separator: ", "), decides: decides,
            summary, text: { .inline($0[keyPath: path].rawValue) },
            read: { $1[keyPath: path] = try $0.oneOf(Choice.self) })
    }

    /// Returns a setting that is true or false, with the flags `--flag` and `--no-flag`.
    package static func boolean(_ key: String, _ path: Path<Bool>, _ summary: String) -> Setting {
        Setting(
            key, isSwitch: true, values: "true, false", summary,
            text: { .inline("\($0[keyPath: path])") },
            read: { $1[keyPath: path] = try $0.boolean() })
    }

    /// Returns a setting that is one of the optimizer's numbers.
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

    /// Returns this setting with the condition that it has a meaning in some configurations only.
    package func `where`(_ applies: @escaping @Sendable (RunConfiguration) -> Bool) -> Setting {
        var copy = self
        copy.applies = applies
        return copy
    }

    /// This setting with a flag that may be repeated.
    package var repeatable: Setting {
        var copy = self
        copy.isRepeatable = true
        return copy
    }

    /// This setting without its flag: only the run file has it.
    package var withoutFlag: Setting {
        var copy = self
        copy.flag = nil
        return copy
    }
}
