/// A line that renews itself on a terminal; its facts begin with the most important one.
///
/// A line that is wider than the terminal continues in the next row, and each renewal would leave a row
/// behind.
package struct ProgressLine: Equatable {
    /// The facts, the most important first.
    package var fields: [String]

    /// Creates a line from its facts.
    package init(fields: [String]) { self.fields = fields }

    private static let separator = "  "

    /// The whole line.
    package var text: String { fields.joined(separator: Self.separator) }

    /// Returns as many whole fields, from the first on, as leave the last column free. A first field
    /// that is too long by itself is cut off.
    package func fitted(to columns: Int) -> String {
        let room = max(0, columns - 1)
        var fields = fields
        while fields.count > 1, ProgressLine(fields: fields).text.count > room {
            fields.removeLast()
        }
        return String(ProgressLine(fields: fields).text.prefix(room))
    }
}
