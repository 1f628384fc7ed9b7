import ArgumentParser
import ClusterProtocol
import Partitions
import RunFiles

/// The command `convoy data inspect`, which reads a data set through and shows what it holds.
struct DataInspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Counts, classes, copies, channel statistics and what looks wrong.",
        discussion: """
            For instance:
              convoy data inspect images:photos --image-size 64x64 --sheet photos.png
            The data is imported if it has to be, and then read through. The line that begins with \
            "- normalize" belongs into the run file's data.transformations.
            """)

    @OptionGroup var data: DataSourceArgument

    @Option(help: "Draw the first training records of each class into this PNG file.")
    var sheet: String?

    @Flag(help: "One JSON object.")
    var json = false

    /// The most classes that the text shows.
    private static let classLimit = 100
    private static let corruptLimit = 10

    func run() throws {
        try Terminal.run { () throws(RunError) -> Int in
            let source = try data.source()
            let set = try source.open()
            let facts = try source.facts(of: set)
            let listing = try source.listing(facts)
            let training = source.configuration.training
            let (report, drawn): (DataSetReport, ContactSheet?)
            do throws(DataError) {
                report = try DataSetReport(
                    set, listing: listing, facts: facts, virtualWorkers: training.virtualWorkers,
                    batchSize: training.batchSize)
                drawn = sheet == nil ? nil : try ContactSheet(set)
            } catch {
                throw RunError(error)
            }
            if json {
                Terminal.show(report.jsonText)
            } else {
                for line in lines(report) { Terminal.show(TextTable.printable(line)) }
            }
            if let sheet, let drawn {
                try FileSystem.write(drawn.png, to: sheet)
                if !json {
                    for line in legend(drawn, sheet) { Terminal.show(TextTable.printable(line)) }
                }
            }
            return ExitCode.done
        }
    }

    // MARK: Text

    private func lines(_ report: DataSetReport) -> [String] {
        var lines = ["\(report.source)  \(report.name)"]
        func add(_ title: String, _ texts: [String]) {
            for (index, text) in texts.enumerated() {
                let head = index == 0 ? title : ""
                lines.append(head + String(repeating: " ", count: 10 - head.count) + text)
            }
        }
        func split(_ split: DataSetReport.Split, _ name: String) -> String {
            "\(NumberText.grouped(split.records)) \(name) in "
                + CountText.of(split.partitions, "partition", "partitions")
                + ", \(NumberText.grouped(split.bytes)) bytes"
        }
        add("records", [split(report.training, "training"), split(report.test, "test")])
        let type = report.dtype == .U8 ? "bytes" : "floats"
        add("shape", ["\(report.shape) \(type)"])
        if let sizes = report.sizes { add("sizes", [text(sizes)]) }
        if !report.training.classes.isEmpty {
            let ratios = [report.training.imbalance, report.test.imbalance].map {
                $0.map { NumberText.fixed($0, 2) } ?? "none"
            }
            add(
                "classes",
                [
                    CountText.of(report.training.classes.count, "class", "classes")
                        + ", largest to smallest \(ratios[0]) in training, \(ratios[1]) in test"
                ] + classes(report))
        }
        for (split, name) in [(report.training, "training"), (report.test, "test")] {
            add(
                "targets",
                split.targets.enumerated().map { index, range in
                    "\(index) in \(name): \(NumberText.fixed(range.minimum, 4)) to "
                        + "\(NumberText.fixed(range.maximum, 4)), mean "
                        + NumberText.fixed(range.mean, 4)
                })
        }
        add("copies", copies(report.copies))
        add(
            "channels",
            report.channels.enumerated().map { index, channel in
                "\(index): mean \(NumberText.fixed(channel.mean, 6)), deviation "
                    + NumberText.fixed(channel.std, 6)
            } + [report.normalizeLine])
        add("left out", corrupt(report.corrupt))
        add("remarks", report.remarks)
        add("warnings", report.warnings)
        return lines
    }

    private func text(_ sizes: DataSetReport.Sizes) -> String {
        func text(_ size: RecordSize) -> String { "\(size.height) x \(size.width)" }
        guard sizes.count > 1 else { return "\(text(sizes.usual)) (height x width)" }
        return "\(NumberText.grouped(sizes.count)) sizes (height x width) from "
            + "\(text(sizes.smallest)) to \(text(sizes.largest)), most often \(text(sizes.usual)) "
            + "(\(NumberText.grouped(sizes.usualCount)))"
    }

    private func classes(_ report: DataSetReport) -> [String] {
        var table = TextTable([
            ("label", .right), ("class", .left), ("training", .right), ("share", .right),
            ("", .left), ("test", .right), ("share", .right), ("", .left),
        ])
        func percent(_ share: Double) -> String { NumberText.fixed(share * 100, 1) + "%" }
        func bar(_ count: Int, _ classes: [DataSetReport.ClassCount]) -> String {
            let most = max(1, classes.map(\.records).max() ?? 1)
            return String(repeating: "#", count: (count * 20 + most - 1) / most)
        }
        for (one, two) in zip(report.training.classes, report.test.classes)
            .prefix(Self.classLimit)
        {
            table.add([
                "\(one.label)", one.name, NumberText.grouped(one.records), percent(one.share),
                bar(one.records, report.training.classes), NumberText.grouped(two.records),
                percent(two.share), bar(two.records, report.test.classes),
            ])
        }
        let rest = report.training.classes.count - Self.classLimit
        return table.lines + (rest > 0 ? ["and \(rest) more; --json has all"] : [])
    }

    private func copies(_ copies: DataSetReport.Copies) -> [String] {
        let counts = [
            "\(NumberText.grouped(copies.training)) in training, "
                + "\(NumberText.grouped(copies.test)) in test, "
                + "\(NumberText.grouped(copies.across)) test records that are in training too"
        ]
        return counts
            + copies.examples.map { group in
                group.map { place in
                    let name = place.name.map { " \($0)" } ?? ""
                    let label = place.label.map { ", label \($0)" } ?? ""
                    return "\(place.split.rawValue) \(place.record)\(name)\(label)"
                }.joined(separator: " = ")
            }
    }

    private func corrupt(_ corrupt: [DataSetReport.Corrupt]) -> [String] {
        guard !corrupt.isEmpty else { return [] }
        let rest = corrupt.count - Self.corruptLimit
        return [CountText.of(corrupt.count, "record", "records")]
            + corrupt.prefix(Self.corruptLimit).map { "\($0.name): \($0.reason)" }
            + (rest > 0 ? ["and \(rest) more; --json has all"] : [])
    }

    private func legend(_ sheet: ContactSheet, _ path: String) -> [String] {
        var lines = ["sheet     \(path)"]
        for (index, row) in sheet.rows.enumerated() {
            let name = row.label.map { "\($0) \(row.name)" } ?? "records \(row.records[0]) and on"
            lines.append("          row \(index + 1): \(name)")
        }
        if sheet.leftOutCount > 0 {
            lines.append("          \(sheet.leftOutCount) classes more have no row")
        }
        return lines
    }
}
