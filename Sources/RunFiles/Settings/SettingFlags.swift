import ClusterProtocol
import NeuralNetwork
import StrictYAML

/// Settings as the command line gives them: `--epochs 3`, `--epochs=3`, `--no-shared-memory`.
public struct SettingFlags {
    private var given: [(setting: Setting, value: StrictValue)] = []

    /// Parses the flags of settings. If a flag is given twice, the last one counts, or all of them
    /// where it makes a list.
    ///
    /// - Parameter arguments: the flags of settings and nothing else.
    /// - Throws: `.usage` for a flag that no setting has, and for a flag without its value.
    public init(_ arguments: [String]) throws(RunError) {
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            guard argument.hasPrefix("--"), argument.count > 2 else {
                throw .usage("unexpected argument '\(argument)'")
            }
            let parts = argument.dropFirst(2).split(
                separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts[0])
            let flag = "--\(name)"
            guard let (setting, isOn) = Self.find(name) else { throw Self.unknown(name) }
            var text = parts.count == 2 ? String(parts[1]) : nil
            if setting.isSwitch {
                guard text == nil else {
                    throw .usage("\(flag): expected no value, found '\(parts[1])'")
                }
                text = "\(isOn)"
            } else if text == nil {
                guard let next = rest.first, !next.hasPrefix("--") else {
                    throw .usage("\(flag): expected a value (\(setting.values)), found none")
                }
                text = rest.removeFirst()
            }
            if setting.isRepeatable, let before = self.text(setting.key), let more = text {
                text = before + "," + more
            }
            given.removeAll { $0.setting.key == setting.key }
            given.append((setting, StrictValue(text ?? "", flag: flag)))
        }
    }

    /// Whether no flag was given.
    public var isEmpty: Bool { given.isEmpty }

    /// Returns the value that was given for a setting, as it was written, or nil if none was given.
    public func text(_ key: String) -> String? {
        given.first { $0.setting.key == key }.flatMap { try? $0.value.string() }
    }

    /// Returns the flags as arguments, without those of some settings.
    public func arguments(leavingOut keys: Set<String>) -> [String] {
        given.filter { !keys.contains($0.setting.key) }.map { setting, value in
            setting.isSwitch ? value.path : "\(value.path)=\((try? value.string()) ?? "")"
        }
    }

    /// Returns whether a setting was given.
    public func has(_ key: String) -> Bool { given.contains { $0.setting.key == key } }

    /// Applies the flags to a configuration, in the order of the table: the optimizer comes before
    /// its numbers.
    ///
    /// - Throws: `.usage` for a value that is not allowed; `.configuration` for a file that a value
    ///   names and that cannot be used.
    public func apply(to configuration: inout RunConfiguration) throws(RunError) {
        for setting in Setting.all {
            guard let value = given.first(where: { $0.setting.key == setting.key })?.value else {
                continue
            }
            guard setting.applies(configuration) else {
                throw .usage(
                    "\(value.path): \(configuration.optimizer.name) has no such setting")
            }
            do {
                try setting.read(value, &configuration)
            } catch let error as SettingsError {
                throw .usage("\(error)")
            } catch {
                throw .configuration("\(value.path): \(error)")
            }
        }
    }

    /// Returns the setting of a flag, and whether the flag turns it on or off.
    private static func find(_ name: String) -> (Setting, isOn: Bool)? {
        for setting in Setting.all {
            guard let flag = setting.flag else { continue }
            if flag == name { return (setting, true) }
            if setting.isSwitch, "no-\(flag)" == name { return (setting, false) }
        }
        return nil
    }

    /// Returns the error for an unknown flag, with the most similar known flag.
    private static func unknown(_ name: String) -> RunError {
        let nearest = Spelling.nearest(to: name, among: Setting.all.compactMap(\.flag).sorted())
        let hint = nearest.map { "; did you mean --\($0)?" } ?? ""
        return .usage("--\(name): unknown flag\(hint)")
    }

    // MARK: - Help

    /// All flags with their meaning, for `--help`, in lines of at most 78 characters.
    public static var help: String {
        let defaults = RunConfiguration()
        var text = "SETTINGS (each is a key of the run file; the flag overrides it):\n"
        for setting in Setting.all {
            guard let flag = setting.flag else { continue }
            text += "  --\(setting.isSwitch ? "[no-]" : "")\(flag)\n"
            var sentence = "\(setting.summary) Values: \(setting.values)"
            if setting.isRepeatable { sentence += "; may be repeated" }
            if setting.applies(defaults), let value = setting.inlineText(defaults) {
                sentence += "; default \(YAMLText.plain(value))"
            }
            for line in LineText.wrapped(sentence, width: 70) { text += "        \(line)\n" }
        }
        return text
    }
}
