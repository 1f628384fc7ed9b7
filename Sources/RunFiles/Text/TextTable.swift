/// A table of texts for people. The last column is as wide as its texts.
package struct TextTable {
    /// The alignment of a column.
    package enum Alignment { case left, right }

    private let alignments: [Alignment]
    private var rows: [[String]]

    /// Creates a table with a title row.
    package init(_ columns: [(title: String, alignment: Alignment)]) {
        alignments = columns.map(\.alignment)
        rows = [columns.map(\.title)]
    }

    /// Adds a row. Control characters in its texts are replaced.
    package mutating func add(_ row: [String]) { rows.append(row.map(Self.printable)) }

    /// The lines of the table, without spaces at their ends.
    package var lines: [String] {
        let widths = alignments.indices.map { column in
            rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
        }
        return rows.map { row in
            let cells = row.indices.map { column in
                let missing = max(0, widths[column] - row[column].count)
                let space = String(repeating: " ", count: missing)
                return alignments[column] == .left ? row[column] + space : space + row[column]
            }
            var line = cells.joined(separator: "  ")
            while line.last == " " { line.removeLast() }
            return line
        }
    }

    /// Returns a text with its control characters replaced by "?". Text from other hosts must not
    /// steer the terminal.
    package static func printable(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            let isControl = scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
            result.unicodeScalars.append(isControl ? "?" : scalar)
        }
        return result
    }
}
