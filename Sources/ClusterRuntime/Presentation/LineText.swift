/// Text that quotes what files and peers say, for a terminal.
public enum LineText {
    /// More characters than this are left out.
    public static let maximumCount = 4000

    /// One line, which cannot steer the terminal, and not longer than anyone reads.
    public static func printable(_ text: String) -> String {
        let kept = text.prefix(maximumCount)
        return TextTable.printable(String(kept)) + (kept.endIndex < text.endIndex ? "..." : "")
    }
}
