import ArgumentParser
import ClusterProtocol
import NeuralNetwork
import RunFiles

/// The command `convoy models`, which lists the built-in models, or describes one of them or the
/// model of a file.
struct ModelsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "models", abstract: "List the built-in models, or describe a model.")

    @Argument(help: "A built-in model or a model file; without it all built-in models are listed.")
    var model: String?

    @Option(help: "Shape of the images, as channels x height x width: 3x32x32.")
    var input: String?

    @Option(help: "Number of classes.")
    var classes = 10

    @Option(help: "Number of records in a microbatch, for the memory of a compute thread.")
    var records = 32

    func run() throws {
        try Terminal.run { () throws(RunError) -> Int in
            let lines: [String]
            if let model { lines = try describe(model) } else { lines = try list() }
            for line in lines { Terminal.show(line) }
            return ExitCode.done
        }
    }

    private func network(_ specification: ModelSpecification) throws(RunError) -> Network {
        do throws(ModelError) { return try Network(specification) } catch {
            throw .model("\(error)")
        }
    }

    private func inputShape() throws(RunError) -> [Int]? {
        guard let input else { return nil }
        let sides = input.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
        guard sides.count == 3, sides.allSatisfy({ $0.map { (1...65536).contains($0) } ?? false })
        else {
            throw .usage("--input: expected channels x height x width as in 3x32x32, found \(input)")
        }
        return sides.compactMap(\.self)
    }

    private func list() throws(RunError) -> [String] {
        guard (1...1_048_576).contains(classes) else {
            throw .usage("--classes: expected a number from 1 to 1048576, found \(classes)")
        }
        var rows = [["model", "input", "parameters", "multiply-adds", "source"]]
        for preset in ModelPreset.all {
            let shape = try inputShape() ?? preset.usualInputShape
            let specification = preset.specification(inputShape: shape, classCount: classes)
            let text = shape.map(String.init).joined(separator: "x")
            guard let network = try? network(specification) else {
                rows.append([preset.name, text, "-", "-", "too small for it"])
                continue
            }
            rows.append([
                preset.name, text, NumberText.grouped(trainedCount(network)),
                NumberText.grouped(network.multiplyAddCount), preset.summary,
            ])
        }
        return Self.table(rows)
    }

    private func trainedCount(_ network: Network) -> Int {
        network.parameters.elementCount - network.parameters.statistics.count
    }

    private func describe(_ name: String) throws(RunError) -> [String] {
        guard (1...1_048_576).contains(classes), (1...65536).contains(records) else {
            throw .usage(
                "expected --classes from 1 to 1048576 and --records from 1 to 65536, found "
                    + "\(classes) and \(records)")
        }
        let specification: ModelSpecification
        if let preset = ModelPreset.named(name) {
            specification = preset.specification(
                inputShape: try inputShape() ?? preset.usualInputShape, classCount: classes)
        } else {
            do throws(ModelError) { specification = try ModelSpecification.load(file: name) } catch {
                throw .model(
                    "\(error); built-in models are "
                        + ModelSpecification.builtInNames.joined(separator: ", "))
            }
        }
        let network = try network(specification)
        var rows = [["node", "kind", "reads", "output", "parameters"]]
        for node in network.nodes {
            let slots = node.slots.map { network.parameters.slots[$0] }
            let count = slots.filter { $0.role == .trained }.reduce(0) { $0 + $1.elementCount }
            rows.append([
                node.name, node.specification.kind,
                node.inputs.map { $0 == 0 ? "input" : network.nodes[$0 - 1].name }
                    .joined(separator: ", "),
                node.outputShape.map(String.init).joined(separator: "x"),
                count == 0 ? "" : NumberText.grouped(count),
            ])
        }
        let vector = 4 * network.parameters.elementCount
        var lines = Self.table(rows)
        lines.append("")
        lines.append("parameters      \(NumberText.grouped(trainedCount(network)))")
        lines.append("statistics      \(NumberText.grouped(network.parameters.statistics.count))")
        lines.append("multiply-adds   \(NumberText.grouped(network.multiplyAddCount)) an image")
        lines.append("gradient        \(NumberText.grouped(vector)) bytes in fp32")
        do throws(BackendError) {
            let memory = try ComputeThreadMemory(
                network: network, backend: .native, configuration: EngineConfiguration(),
                recordCount: records)
            lines.append(
                "memory          \(NumberText.grouped(memory.byteCount)) bytes a compute thread, for "
                    + "microbatches of \(records) records (native)")
        } catch {
            lines.append("memory          unknown: \(error)")
        }
        lines.append("")
        lines += specification.yaml.split(separator: "\n").map(String.init)
        return lines
    }

    /// Returns rows as lines with columns of one width; the last column is as it is.
    private static func table(_ rows: [[String]]) -> [String] {
        let columns = rows[0].indices
        let widths = columns.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            var line = ""
            for column in columns.dropLast() {
                line += row[column] + String(repeating: " ", count: widths[column] - row[column].count + 2)
            }
            line += row[columns.upperBound - 1]
            while line.last == " " { line.removeLast() }
            return line
        }
    }
}
