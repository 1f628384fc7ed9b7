/// Prepares text from files and other processes for a terminal.
public enum LineText {
    /// The largest number of characters that ``printable(_:)`` keeps.
    public static let maximumCount = 4000

    /// Returns the text on one line, cut to ``maximumCount`` characters, without control characters
    /// that could steer the terminal.
    public static func printable(_ text: String) -> String {
        let kept = text.prefix(maximumCount)
        return TextTable.printable(String(kept)) + (kept.endIndex < text.endIndex ? "..." : "")
    }

    /// Returns the words of a text in lines of at most `width` characters. A longer word has a line
    /// of its own.
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
