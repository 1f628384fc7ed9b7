import ClusterProtocol
import NeuralNetwork
import StrictYAML

/// Settings as the command line gives them: `--epochs 3`, `--epochs=3`, `--no-shared-memory`.
public struct SettingFlags {
    private var given: [(setting: Setting, value: StrictValue)] = []

    /// - Parameter arguments: the flags of settings and nothing else. A flag given twice counts as the
    ///   last says.
    /// - Throws: 64 for a flag that no setting has, and for one without its value.
    public init(_ arguments: [String]) throws(Failure) {
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
            given.removeAll { $0.setting.key == setting.key }
            given.append((setting, StrictValue(text ?? "", flag: flag)))
        }
    }

    public var isEmpty: Bool { given.isEmpty }

    /// The value that was given for a setting, as it was written.
    public func text(_ key: String) -> String? {
        given.first { $0.setting.key == key }.flatMap { try? $0.value.string() }
    }

    /// The flags again, without those of some settings.
    public func arguments(leavingOut keys: Set<String>) -> [String] {
        given.filter { !keys.contains($0.setting.key) }.map { setting, value in
            setting.isSwitch ? value.path : "\(value.path)=\((try? value.string()) ?? "")"
        }
    }

    public func has(_ key: String) -> Bool { given.contains { $0.setting.key == key } }

    /// Sets what the flags say, in the order of the table: an optimizer before its numbers.
    ///
    /// - Throws: 64 for a value that cannot be, 65 for a file that it names and that cannot be used.
    public func apply(to configuration: inout RunConfiguration) throws(Failure) {
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
                throw .data("\(value.path): \(error)")
            }
        }
    }

    private static func find(_ name: String) -> (Setting, isOn: Bool)? {
        for setting in Setting.all {
            guard let flag = setting.flag else { continue }
            if flag == name { return (setting, true) }
            if setting.isSwitch, "no-\(flag)" == name { return (setting, false) }
        }
        return nil
    }

    private static func unknown(_ name: String) -> Failure {
        let nearest = Spelling.nearest(to: name, among: Setting.all.compactMap(\.flag).sorted())
        let hint = nearest.map { "; did you mean --\($0)?" } ?? ""
        return .usage("--\(name): unknown flag\(hint)")
    }

    // MARK: - Help

    /// All flags with what they mean, for `--help`; lines of at most 78 characters.
    public static var help: String {
        let defaults = RunConfiguration()
        var text = "SETTINGS (each is a key of the run file; the flag overrides it):\n"
        for setting in Setting.all {
            guard let flag = setting.flag else { continue }
            text += "  --\(setting.isSwitch ? "[no-]" : "")\(flag)\n"
            var sentence = "\(setting.summary) Values: \(setting.values)"
            if setting.applies(defaults), let value = setting.inlineText(defaults) {
                sentence += "; default \(YAMLText.plain(value))"
            }
            for line in LineText.wrapped(sentence, width: 70) { text += "        \(line)\n" }
        }
        return text
    }
}
