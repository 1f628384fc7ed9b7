/// Scalars as YAML writes them.
package enum YAMLText {
    /// A double-quoted scalar.
    package static func quoted(_ text: String) -> String {
        var result = "\""
        for character in text.unicodeScalars {
            switch character {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case " "..."~", "\u{A0}"..."\u{2027}", "\u{202A}"..."\u{D7FF}", "\u{E000}"..."\u{FEFE}",
                "\u{FF00}"..."\u{FFFD}", "\u{10000}"..."\u{10FFFF}":
                result.unicodeScalars.append(character)
            default:
                // Control characters, and what YAML takes for the end of a line or a byte order mark.
                let digits = String(character.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            }
        }
        return result + "\""
    }

    /// What ``quoted(_:)`` wrote, without quotation marks where nothing needs them.
    package static func plain(_ text: String) -> String {
        text.hasPrefix("\"") && text.dropFirst().dropLast().allSatisfy { $0.isLetter || $0 == "-" }
            ? String(text.dropFirst().dropLast()) : text
    }
}
