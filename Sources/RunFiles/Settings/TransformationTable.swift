import Partitions

/// The table of transformations in the documents, made of their declarations.
package enum TransformationTable {
    /// A Markdown table with one row for each kind.
    package static var table: String {
        var text = """
            | name | settings | works on | records | what it does |
            |---|---|---|---|---|

            """
        for kind in TransformationKind.all {
            let settings = kind.parameters.map { parameter in
                let usual = parameter.fallback.map { ", by default \($0)" } ?? ""
                let optional = parameter.isOptional ? ", may be left out" : ""
                return "`\(parameter.name)`: \(parameter.requirement)\(usual)\(optional)"
            }
            let fields = [
                "`\(kind.name)`", settings.joined(separator: "; "), kind.elements,
                kind.isForTrainingOnly ? "training" : "all", kind.summary,
            ]
            text += "| \(fields.joined(separator: " | ")) |\n"
        }
        return text
    }

    /// Returns a document with its table replaced by the present one, or nil when the document has
    /// no place for it.
    package static func renewed(in document: String) -> String? {
        let (begin, end) = ("<!-- transformations -->\n", "<!-- end of transformations -->")
        guard let first = document.firstRange(of: begin), let last = document.firstRange(of: end),
            first.upperBound <= last.lowerBound
        else { return nil }
        return document[..<first.upperBound] + table + document[last.lowerBound...]
    }
}
