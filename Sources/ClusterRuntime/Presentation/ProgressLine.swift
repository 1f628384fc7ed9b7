/// A line that renews itself on a terminal: facts from the most important one on.
///
/// A line that is wider than the terminal goes on in the next row, and each renewal would leave one
/// behind.
package struct ProgressLine: Equatable {
    package var fields: [String]

    package init(fields: [String]) { self.fields = fields }

    private static let separator = "  "

    package var text: String { fields.joined(separator: Self.separator) }

    /// As many whole fields, from the first on, as leave the last column free; of a first one that is
    /// too long itself, its beginning.
    package func fitted(to columns: Int) -> String {
        let room = max(0, columns - 1)
        var fields = fields
        while fields.count > 1, ProgressLine(fields: fields).text.count > room {
            fields.removeLast()
        }
        return String(ProgressLine(fields: fields).text.prefix(room))
    }
}
