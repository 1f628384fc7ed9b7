/// Texts that are generated from the table of settings.
package enum SettingsText {
    /// A run file with every default written out and every setting explained: `Cluster/local.yaml`.
    package static var runFile: String {
        let defaults = RunConfiguration()
        var text = """
            # The settings of a run without arguments, written out. Copy this file, change what you like, and
            #   convoy train --config my-run.yaml
            # A key that is missing has the value that stands here; an unknown one is an error. Flags of the
            # command line override the file. `bits` marks what decides the bits of the result.
            # This file is made of the table of settings; `convoy train --help` shows the same.

            """
        var current = ""
        for setting in Setting.all {
            guard setting.applies(defaults) else { continue }
            let (section, name) = setting.place
            if section != current || section.isEmpty {
                text += section.isEmpty ? "\n" : "\n\(section):\n"
                current = section
            }
            let indent = section.isEmpty ? "" : "  "
            let values = "\(setting.values)\(setting.decidesBits ? "; bits" : "")"
            for line in LineText.wrapped("\(setting.summary) (\(values))", width: 96 - indent.count) {
                text += "\(indent)# \(line)\n"
            }
            if let value = setting.inlineText(defaults) {
                text += "\(indent)\(name): \(YAMLText.plain(value))\n"
            } else if let example = setting.example {
                text += "\(indent)# \(name): \(example)\n"
            }
        }
        return text
    }

    /// A Markdown table with one row for each setting: key, flag, values, default, whether it
    /// decides bits, meaning.
    package static var table: String {
        let defaults = RunConfiguration()
        var text = "| key | flag | values | default | decides bits | meaning |\n|---|---|---|---|---|---|\n"
        for setting in Setting.all {
            let flag = setting.flag.map { "`--\(setting.isSwitch ? "[no-]" : "")\($0)`" } ?? ""
            let value = setting.applies(defaults) ? setting.inlineText(defaults) : nil
            let fields = [
                "`\(setting.key)`", flag, setting.values, value.map { "`\(YAMLText.plain($0))`" } ?? "",
                setting.decidesBits ? "yes" : "", setting.summary,
            ]
            text += "| \(fields.joined(separator: " | ")) |\n"
        }
        return text
    }

    /// Returns a document with its table of settings replaced by the present one, or nil when the
    /// document has no place for it.
    package static func renewingTable(in document: String) -> String? {
        let (begin, end) = ("<!-- settings -->\n", "<!-- end of settings -->")
        guard let first = document.firstRange(of: begin), let last = document.firstRange(of: end),
            first.upperBound <= last.lowerBound
        else { return nil }
        return document[..<first.upperBound] + table + document[last.lowerBound...]
    }
}
