import ArgumentParser
import ClusterProtocol
import ClusterRuntime
import Partitions
import RunFiles

/// The command `convoy predict`, which names the classes of picture files or of single records.
struct PredictCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "predict",
        abstract: "Classes of picture files or of single test records, with probabilities.",
        discussion: """
            convoy predict --checkpoint runs/first photo.jpg folder/
            convoy predict --checkpoint runs/first folder/ --format csv > classes.csv

            Pictures are prepared as those of the training were; the checkpoint says how. A file that \
            cannot be decoded gets a line on standard error, the others are predicted, and the exit code \
            is 65.
            """)

    /// How the predictions of files are written.
    enum Format: String, ExpressibleByArgument, CaseIterable {
        case table, csv, json
    }

    @OptionGroup var model: ModelOptions

    @Argument(help: "Picture files, and directories of pictures.")
    var files: [String] = []

    @Option(help: "table, csv, or json (a line a file, with all outputs).")
    var format: Format = .table

    @Option(help: "So many classes a file, the most probable first.")
    var top: Int = 3

    @Option(help: "In place of files, a data set: \(DataSpecification.forms).")
    var data: String?

    @Option(help: "With --data the number of a test record, from 0; may be given several times.")
    var record: [Int] = []

    func run() throws {
        try Terminal.run { () throws(RunError) -> Int in
            guard files.isEmpty != (data == nil) else {
                throw .usage(
                    "expected picture files, or --data with --record, found "
                        + (files.isEmpty ? "neither" : "both"))
            }
            guard top >= 1 else { throw .usage("--top: expected at least 1, found \(top)") }
            guard data != nil || record.isEmpty else { throw .usage("--record goes with --data") }
            let computation = try model.computation()
            let model = try model.load()
            if let data { return try predictRecords(of: data, model, computation) }
            return try predictFiles(model, computation)
        }
    }

    // MARK: Files

    private func predictFiles(
        _ model: Model, _ computation: Model.Computation
    ) throws(RunError) -> Int {
        var lists: [FileList] = []
        for file in files {
            do throws(DataError) { lists.append(try PictureFiles.list(file)) } catch {
                throw RunError(error)
            }
        }
        let count = min(top, model.network.outputElementCount)
        let names = lists.map { list in (0..<list.count).map(list.fullName) }
        let width = names.joined().reduce(4) { max($0, $1.count) }
        if format == .csv { Terminal.show(Self.csvHeader(count)) }
        var failureCount = 0
        for (list, names) in zip(lists, names) {
            try model.predict(list, computation) { index, outcome in
                switch outcome {
                case .failure(let error):
                    failureCount += 1
                    Terminal.report(error.text)
                case .success(let found):
                    Terminal.show(line(names[index], found, model, count: count, width: width))
                }
            }
        }
        return failureCount == 0 ? ExitCode.done : ExitCode.data
    }

    private static func csvHeader(_ count: Int) -> String {
        let others = (2..<max(2, count + 1)).map { ",class_\($0),probability_\($0)" }
        return "file,class,probability" + others.joined()
    }

    private func line(
        _ file: String, _ found: Model.Prediction, _ model: Model, count: Int, width: Int
    ) -> String {
        let top = found.top(count)
        switch format {
        case .table:
            let classes = top.map { label in
                "\(LineText.printable(model.input.name(ofClass: label))) "
                    + "\(NumberText.fixed(100 * Double(found.probabilities[label]), 1)) %"
            }
            let name = LineText.printable(file)
            return name + String(repeating: " ", count: max(0, width - name.count)) + "  "
                + classes.joined(separator: "  ")
        case .csv:
            let fields = top.flatMap { label in
                [
                    Self.csvField(model.input.name(ofClass: label)),
                    JSONText.number(found.probabilities[label]),
                ]
            }
            return ([Self.csvField(file)] + fields).joined(separator: ",")
        case .json:
            let classes = top.map { label in
                "{\"class\":\(JSONText.string(model.input.name(ofClass: label))),"
                    + "\"label\":\(label),"
                    + "\"probability\":\(JSONText.number(found.probabilities[label]))}"
            }
            let logits = found.logits.map { JSONText.number($0) }.joined(separator: ",")
            return "{\"file\":\(JSONText.string(file)),"
                + "\"class\":\(JSONText.string(model.input.name(ofClass: found.label))),"
                + "\"label\":\(found.label),"
                + "\"probability\":\(JSONText.number(found.probability)),"
                + "\"top\":[\(classes.joined(separator: ","))],\"logits\":[\(logits)]}"
        }
    }

    /// Returns a field of a CSV line, quoted where RFC 4180 asks for it.
    private static func csvField(_ text: String) -> String {
        guard text.contains(where: { ",\"".contains($0) || $0.isNewline }) else { return text }
        return "\"\(text.replacing("\"", with: "\"\""))\""
    }

    // MARK: Records

    private func predictRecords(
        of data: String, _ model: Model, _ computation: Model.Computation
    ) throws(RunError) -> Int {
        let data = try ModelOptions.open(data: data)
        // The records before the first one that does not exist are shown.
        let range = 0..<data.description.testCount
        let numbers = Array(record.prefix { range.contains($0) })
        var (images, labels) = ([[Float]](), [Int32]())
        for number in numbers {
            do throws(DataError) {
                let found = try data.gather(.test, records: [number])
                images.append(found.images)
                labels += found.labels
            } catch {
                throw RunError(error)
            }
        }
        let found = try model.predict(images, shape: data.description.shape, computation)
        for (index, number) in numbers.enumerated() {
            let label = data.description.targetCount == nil ? labels[index] : nil
            show(number, label, found[index], model)
        }
        if numbers.count < record.count {
            throw .usage(
                "--record: expected 0 to \(range.count - 1), found \(record[numbers.count])")
        }
        return ExitCode.done
    }

    private func show(_ number: Int, _ label: Int32?, _ found: Model.Prediction, _ model: Model) {
        let list = found.probabilities.map { JSONText.number($0) }.joined(separator: ",")
        let name = model.input.classNames == nil
            ? "" : "\"name\":\(JSONText.string(model.input.name(ofClass: found.label))),"
        Terminal.show(
            "{\"record\":\(number),\"class\":\(found.label),\(name)"
                + "\"probability\":\(JSONText.number(found.probability)),"
                + "\"label\":\(label.map { "\($0)" } ?? "null"),\"probabilities\":[\(list)]}")
    }
}
