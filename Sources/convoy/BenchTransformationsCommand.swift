import ArgumentParser
import ClusterProtocol
import ClusterRuntime
import Partitions
import RunFiles

/// The command `convoy bench transformations`, which measures a run file's list of transformations
/// on one core.
struct BenchTransformationsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "transformations",
        abstract: "What the transformations of a run file cost on one core.",
        discussion: """
            Each line adds an entry to the list. Times are the least of many rounds, in \
            microseconds a record; the first line only scales the bytes.
            """)

    @Option(help: "A run file (YAML) with data.transformations.")
    var config: String

    @Option(help: "Shape of a stored image of bytes.")
    var input: String = "3x32x32"

    @Option(help: "Images of a microbatch.")
    var batch: Int = 32

    @Option(help: "Rounds to measure.")
    var rounds: Int = 500

    func run() throws {
        try Terminal.run { () throws(RunError) -> Int in
            let shape = input.split(separator: "x", omittingEmptySubsequences: false).map {
                Int($0) ?? 0
            }
            guard shape.count == 3, shape.allSatisfy({ (1...65_535).contains($0) }) else {
                throw .usage("--input: expected CHANNELSxHEIGHTxWIDTH, found \(input)")
            }
            guard (1...65_536).contains(batch) else {
                throw .usage("--batch: expected a whole number from 1 to 65536, found \(batch)")
            }
            guard (1...1_000_000).contains(rounds) else {
                throw .usage("--rounds: expected a whole number from 1 to 1000000, found \(rounds)")
            }
            let list = try RunConfiguration.load(file: config).data.transformations
            for count in 0...list.count {
                let bench: TransformationBench
                do throws(DataError) {
                    bench = try TransformationBench(
                        Array(list[..<count]), shape: shape, recordCount: batch)
                } catch {
                    throw RunError(error)
                }
                var least = Duration.seconds(1_000_000)
                for round in 0..<rounds {
                    let start = ContinuousClock.now
                    bench.run(epoch: round)
                    least = min(least, ContinuousClock.now - start)
                }
                let microseconds = least / .microseconds(1) / Double(batch)
                let hundredths = Int((microseconds * 100).rounded())
                let rest = hundredths % 100
                Terminal.show(
                    "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest)  "
                        + (count == 0 ? "scaling" : "+ \(list[count - 1].name)"))
            }
            return ExitCode.done
        }
    }
}
