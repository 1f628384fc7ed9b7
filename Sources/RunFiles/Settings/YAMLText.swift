/// Writes scalars as YAML.
package enum YAMLText {
    /// Returns a double-quoted scalar.
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
                // These are control characters, and characters that YAML takes for a line break or
                // a byte order mark.
                let digits = String(character.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            }
        }
        return result + "\""
    }

    /// Returns a list of double-quoted scalars.
    package static func list(_ texts: [String]) -> String {
        "[\(texts.map(quoted).joined(separator: ", "))]"
    }

    /// Returns the result of ``quoted(_:)`` without its quotation marks if the text does not need
    /// them.
    package static func plain(_ text: String) -> String {
        text.hasPrefix("\"") && text.dropFirst().dropLast().allSatisfy { $0.isLetter || $0 == "-" }
            ? String(text.dropFirst().dropLast()) : text
    }
}
