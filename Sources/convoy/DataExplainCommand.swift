import ArgumentParser
import ClusterProtocol
import Partitions
import RunFiles

/// The command `convoy data explain`, which shows how a data set comes from its files.
struct DataExplainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain", abstract: "How the partitions come from files, step by step.",
        discussion: """
            For instance:
              convoy data explain --config photos.yaml --partition 0
            The last step is above, the files are below, as in Spark's toDebugString. No picture \
            is decoded. Counts that only reading large files would tell are left out, unless the \
            data is imported.
            """)

    @OptionGroup var data: DataSourceArgument

    @Option(help: "Also show which files this training partition comes from, counted from 0.")
    var partition: Int?

    @Flag(help: "One JSON object.")
    var json = false

    func run() throws {
        try Terminal.run { () throws(RunError) -> Int in
            let source = try data.source()
            let lineage: DataLineage
            do throws(DataError) {
                lineage = try DataLineage(
                    source.specification, partitionCount: source.configuration.data.partitions,
                    transformations: source.configuration.data.transformations,
                    partition: partition, cache: DataCache.standard)
            } catch {
                throw RunError(error)
            }
            if json {
                Terminal.show(lineage.jsonText)
            } else {
                for line in Self.lines(lineage) { Terminal.show(LineText.printable(line)) }
            }
            return ExitCode.done
        }
    }

    // MARK: Text

    private static func lines(_ lineage: DataLineage) -> [String] {
        var lines = ["(\(lineage.partitions)) " + partitions(lineage.training, "training")]
        if !lineage.test.isEmpty {
            lines.append("(\(lineage.test.count)) " + partitions(lineage.test, "test"))
        }
        var indent = ""
        for step in lineage.steps {
            let isShuffle = step.step == "spread"
            lines.append(
                indent + (isShuffle ? " +- " : " |  ")
                    + [step.step, step.detail, counts(step.training, step.test)]
                    .filter { !$0.isEmpty }.joined(separator: "  "))
            if isShuffle { indent += "   " }
        }
        for input in lineage.inputs {
            let files = CountText.of(input.files, "file", "files")
            let bytes = input.bytes.map { ", \(NumberText.grouped($0)) bytes" } ?? ""
            let weight = input.weight == 1 ? "" : "  weight \(input.weight)"
            lines.append(
                "\(indent) +- \(input.source)\(weight)  \(counts(input.training, input.test))  "
                    + files + bytes)
        }
        if let piece = lineage.piece { lines += self.piece(piece) }
        return lines
    }

    private static func partitions(_ counts: [Int], _ split: String) -> String {
        guard let least = counts.min(), let most = counts.max() else {
            return "\(split) records; their number is known after the import"
        }
        let each =
            least == most
            ? NumberText.grouped(least)
            : "\(NumberText.grouped(least)) to \(NumberText.grouped(most))"
        return
            "\(NumberText.grouped(counts.reduce(0, +))) \(split) records in partitions of \(each)"
    }

    private static func counts(_ training: Int?, _ test: Int?) -> String {
        guard let training, let test else { return "" }
        return "\(NumberText.grouped(training)) training, \(NumberText.grouped(test)) test records"
    }

    private static func piece(_ piece: DataLineage.Piece) -> [String] {
        var lines = [
            "partition \(piece.partition)  "
                + CountText.of(piece.records, "record", "records") + " of "
                + CountText.of(piece.fileCount, "file", "files")
        ]
        if !piece.classes.isEmpty {
            let classes = piece.classes.sorted { $0.key < $1.key }
                .map { "\($0.key) \(NumberText.grouped($0.value))" }
            lines.append("  classes  \(classes.joined(separator: ", "))")
        }
        for file in piece.files {
            lines.append(
                "  \(file.name)"
                    + (file.records == 1 ? "" : "  \(NumberText.grouped(file.records))"))
        }
        if piece.fileCount > piece.files.count {
            lines.append("  and \(NumberText.grouped(piece.fileCount - piece.files.count)) more")
        }
        if let sha256 = piece.sha256 { lines.append("  sha256 \(sha256)") }
        return lines
    }
}
