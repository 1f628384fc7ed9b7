/// Text that quotes what files and peers say, for a terminal.
public enum LineText {
    /// More characters than this are left out.
    public static let maximumCount = 4000

    /// One line, which cannot steer the terminal, and not longer than anyone reads.
    public static func printable(_ text: String) -> String {
        let kept = text.prefix(maximumCount)
        return TextTable.printable(String(kept)) + (kept.endIndex < text.endIndex ? "..." : "")
    }

    /// Lines of words, each of at most `width` characters where its words allow that.
    public static func wrapped(_ text: String, width: Int) -> [String] {
        var lines: [String] = []
        for word in text.split(separator: " ") {
            if let last = lines.last, last.count + 1 + word.count <= width {
                lines[lines.count - 1] = "\(last) \(word)"
            } else {
                lines.append(String(word))
            }
        }
        return lines
    }
}
