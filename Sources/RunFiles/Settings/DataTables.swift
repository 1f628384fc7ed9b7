import Partitions

/// The tables of sources and transformations in the article Data, made of their declarations.
package enum DataTables {
    /// A Markdown table with one row for each kind of source.
    private static var sources: String {
        SourceRegistry.all.reduce("| source | what it reads |\n|---|---|\n") { text, kind in
            text + "| `\(kind.form)` | \(kind.summary) |\n"
        }
    }

    /// A Markdown table with one row for each kind of transformation.
    private static var transformations: String {
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

    /// Returns a document with its tables replaced by the present ones, or nil when the document has
    /// no place for one of them.
    package static func renewed(in document: String) -> String? {
        var document = document
        for (name, table) in [("sources", sources), ("transformations", transformations)] {
            let (begin, end) = ("<!-- \(name) -->\n", "<!-- end of \(name) -->")
            guard let first = document.firstRange(of: begin),
                let last = document.firstRange(of: end), first.upperBound <= last.lowerBound
            else { return nil }
            document.replaceSubrange(first.upperBound..<last.lowerBound, with: table)
        }
        return document
    }
}
