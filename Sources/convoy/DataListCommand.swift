import ArgumentParser
import ClusterProtocol
import Partitions
import RunFiles

/// The command `convoy data list`, which lists the records of a data set.
struct DataListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the records in the order of their source.",
        discussion: """
            For instance:
              convoy data list images:photos
            Each line is SPLIT, NUMBER, LABEL and NAME with tabs between them. The number of a \
            test record is that of convoy predict --record and of the rows of convoy evaluate \
            --logits. Training records are stored in another order; --json has their stored numbers.
            """)

    @OptionGroup var data: DataSourceArgument

    @Flag(help: "One JSON object a line.")
    var json = false

    func run() throws {
        try Terminal.run { () throws(RunError) -> Int in
            let listing = try data.source().listing()
            for remark in listing.remarks { Terminal.warn(remark) }
            var lines: [String] = []
            for split in DataSplit.allCases {
                for number in 0..<listing.recordCount(split) {
                    let record = listing.record(split, number)
                    lines.append(json ? object(record, listing) : line(record))
                    if lines.count == 512 {
                        Terminal.show(lines.joined(separator: "\n"))
                        lines.removeAll(keepingCapacity: true)
                    }
                }
            }
            if !lines.isEmpty { Terminal.show(lines.joined(separator: "\n")) }
            return ExitCode.done
        }
    }

    private func line(_ record: RecordListing.Record) -> String {
        let label =
            record.label.map { "\($0)" } ?? record.targets.map { "\($0)" }.joined(separator: ",")
        return [record.split.rawValue, "\(record.number)", label, LineText.printable(record.name)]
            .joined(separator: "\t")
    }

    private func object(_ record: RecordListing.Record, _ listing: RecordListing) -> String {
        var fields = [
            "\"split\":\"\(record.split.rawValue)\"", "\"record\":\(record.number)",
            "\"stored\":\(record.stored)",
        ]
        if let label = record.label {
            fields.append("\"label\":\(label)")
            fields.append("\"class\":\(JSONText.string(listing.className(label)))")
        } else {
            let targets = record.targets.map { JSONText.number($0) }.joined(separator: ",")
            fields.append("\"targets\":[\(targets)]")
        }
        fields.append("\"name\":\(JSONText.string(record.name))")
        return "{\(fields.joined(separator: ","))}"
    }
}
