import ArgumentParser
import ClusterProtocol
import ClusterRuntime
import NeuralNetwork
import RunFiles

/// The command `convoy bench step`, which breaks down the time of a training step on one core.
struct BenchStepCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "step",
        abstract: "Where the time of one training step goes on one core, and what bounds it.",
        discussion: """
            The limit of a convolution is the backend's code for it alone, in the same order and \
            tile size; that of anything else a copy that reads and writes as many bytes. Times are \
            medians in microseconds a step.
            """)

    @Option(help: "A built-in model or a model file.")
    var model: String = "cnn"

    @Option(help: "Shape of an image, for built-in models; 10 classes.")
    var input: String = "3x32x32"

    @Option(help: "Images of a microbatch.")
    var batch: Int = 32

    @Option(help: "fp32 or bf16.")
    var precision: String = "fp32"

    @Option(help: "auto, native or onednn.")
    var backend: String = "auto"

    @Option(help: "Images computed together.")
    var tile: Int = 8

    @Option(help: "Rounds to measure.")
    var steps: Int = 200

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        try Terminal.run { () throws(RunError) -> Int in
            guard let arithmetic = Precision(rawValue: precision) else {
                throw .usage("--precision: expected fp32 or bf16, found \(precision)")
            }
            guard let choice = BackendChoice(rawValue: backend) else {
                throw .usage("--backend: expected \(BackendChoice.list), found \(backend)")
            }
            try check(batch, "--batch", 1...65_536)
            try check(tile, "--tile", 1...4096)
            try check(steps, "--steps", 1...1_000_000)
            let bench = try StepBench(
                network: network(), batchSize: batch, precision: arithmetic, tileSize: tile,
                backend: choice, roundCount: steps)
            let report = StepReport(bench: bench, precision: arithmetic, roundCount: steps)
            Terminal.show(json ? report.json : report.table)
            return ExitCode.done
        }
    }

    private func check(_ value: Int, _ flag: String, _ range: ClosedRange<Int>) throws(RunError) {
        guard range.contains(value) else {
            throw .usage(
                "\(flag): expected a whole number from \(range.lowerBound) to "
                    + "\(range.upperBound), found \(value)")
        }
    }

    private func network() throws(RunError) -> Network {
        let shape = input.split(separator: "x", omittingEmptySubsequences: false).map {
            Int($0) ?? 0
        }
        guard shape.count == 3, shape.allSatisfy({ (1...65_536).contains($0) }) else {
            throw .usage("--input: expected CHANNELSxHEIGHTxWIDTH, found \(input)")
        }
        do throws(ModelError) {
            if let known = ModelSpecification.builtIn(model, inputShape: shape, classCount: 10) {
                return try Network(known)
            }
            return try Network(ModelSpecification.load(file: model))
        } catch {
            throw .model("--model: \(error)")
        }
    }
}
