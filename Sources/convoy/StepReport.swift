import ClusterRuntime
import NeuralNetwork
import RunFiles

/// The results of a ``StepBench`` as text.
struct StepReport {
    /// The goal for an engine, in percent of the rate of its convolutions.
    static let goalPercent = 88

    let bench: StepBench
    let precision: Precision
    let roundCount: Int

    /// A row of the table: times in microseconds for each step.
    private struct Line {
        var name: String
        var kernel: String
        var microseconds: Double
        var limit: Double?
    }

    /// The sum of the times of all parts, in microseconds.
    private var sum: Double { bench.rows.reduce(0) { $0 + $1.microseconds } }

    // MARK: Table

    /// The results as a table for people.
    var table: String {
        let heading = [
            "\(bench.network.specification.name) \(shape), batch \(bench.batchSize), tile "
                + "\(bench.tileSize), \(precision.rawValue), \(bench.backend.rawValue) "
                + "\(bench.instructionSet), one thread, median of \(roundCount) steps", "",
        ]
        let lines =
            [columns("part", "kernel", "us a step", "limit us", "of limit")]
            + self.lines.map(text)
        return (heading + lines + [""] + conclusion).joined(separator: "\n")
    }

    private var shape: String {
        bench.network.specification.inputShape.map { "\($0)" }.joined(separator: "x")
    }

    /// The rows of the table. The operations of layers have a row each; the other parts are added
    /// up by phase.
    private var lines: [Line] {
        var lines = [
            Line(
                name: "input", kernel: "own", microseconds: bench.input, limit: bench.inputLimit)
        ]
        for row in bench.rows {
            let isLayer = row.part.phase == .forward || row.part.phase == .backward
            let name =
                isLayer
                ? "\(row.part.phase.rawValue) \(row.part.name) \(row.part.operation)"
                : row.part.phase.rawValue
            let kernel = isLayer ? row.part.kernel : ""
            if let index = lines.firstIndex(where: { $0.name == name && $0.kernel == kernel }) {
                lines[index].microseconds += row.microseconds
                lines[index].limit = row.limit.flatMap { limit in
                    lines[index].limit.map { $0 + limit }
                }
            } else {
                lines.append(
                    Line(
                        name: name, kernel: kernel, microseconds: row.microseconds,
                        limit: row.limit))
            }
        }
        let total = bench.engine + bench.input + bench.optimizer
        return lines + [
            Line(name: "engine, sum of its parts", kernel: "", microseconds: sum, limit: nil),
            Line(
                name: "engine", kernel: "", microseconds: bench.engine,
                limit: bench.convolutions),
            Line(
                name: "optimizer adam", kernel: "own", microseconds: bench.optimizer,
                limit: bench.optimizerLimit),
            Line(name: "total", kernel: "", microseconds: total, limit: nil),
        ]
    }

    private func text(_ line: Line) -> String {
        let ratio = line.limit.map { NumberText.fixed(100 * $0 / line.microseconds, 1) + " %" }
        return columns(
            line.name, line.kernel, NumberText.fixed(line.microseconds, 1),
            line.limit.map { NumberText.fixed($0, 1) } ?? "-", ratio ?? "-")
    }

    private func columns(
        _ name: String, _ kernel: String, _ time: String, _ limit: String, _ ratio: String
    ) -> String {
        func pad(_ text: String, _ width: Int) -> String {
            String(repeating: " ", count: max(0, width - text.count))
        }
        return name + pad(name, 40) + kernel + pad(kernel, 26) + pad(time, 10) + time
            + pad(limit, 10) + limit + pad(ratio, 10) + ratio
    }

    /// The throughputs, and the ratio of the engine to its convolutions.
    private var conclusion: [String] {
        let rate = NumberText.grouped(Int(bench.engineRate))
        var lines = ["engine                \(rate) images/s"]
        guard let bare = bench.convolutionRate else {
            return lines + ["convolutions alone    none in this model"]
        }
        lines.append("convolutions alone    \(NumberText.grouped(Int(bare))) images/s")
        let percent = NumberText.fixed(100 * bench.engineRate / bare, 1)
        lines.append("ratio                 \(percent) % (goal: at least \(Self.goalPercent) %)")
        return lines
    }

    // MARK: JSON

    /// The results as one JSON object.
    var json: String {
        let parts = bench.rows.map { row in
            object([
                ("phase", JSONText.string(row.part.phase.rawValue)),
                ("name", JSONText.string(row.part.name)),
                ("operation", JSONText.string(row.part.operation)),
                ("kernel", JSONText.string(row.part.kernel)),
                ("microseconds", JSONText.number(row.microseconds)),
                ("limit_microseconds", row.limit.map(JSONText.number) ?? "null"),
            ])
        }
        let rate = bench.convolutionRate
        return object([
            ("model", JSONText.string(bench.network.specification.name)),
            ("input", JSONText.string(shape)), ("batch", "\(bench.batchSize)"),
            ("tile", "\(bench.tileSize)"), ("precision", JSONText.string(precision.rawValue)),
            ("isa", JSONText.string(bench.instructionSet)), ("steps", "\(roundCount)"),
            ("parts", "[\(parts.joined(separator: ","))]"),
            ("input_microseconds", JSONText.number(bench.input)),
            ("input_limit_microseconds", JSONText.number(bench.inputLimit)),
            ("optimizer_microseconds", JSONText.number(bench.optimizer)),
            ("optimizer_limit_microseconds", JSONText.number(bench.optimizerLimit)),
            ("parts_microseconds", JSONText.number(sum)),
            ("engine_microseconds", JSONText.number(bench.engine)),
            ("convolutions_microseconds", JSONText.number(bench.convolutions)),
            ("engine_images_per_second", JSONText.number(bench.engineRate)),
            ("convolutions_images_per_second", rate.map(JSONText.number) ?? "null"),
            ("ratio", rate.map { JSONText.number(bench.engineRate / $0) } ?? "null"),
        ])
    }

    private func object(_ fields: [(String, String)]) -> String {
        "{" + fields.map { "\(JSONText.string($0)):\($1)" }.joined(separator: ",") + "}"
    }
}
