import ArgumentParser
import ClusterProtocol
import ClusterRuntime
import Partitions
import RunFiles

/// The command `convoy verify`, which verifies a run directory, a checkpoint or a partitioned
/// directory.
struct VerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Read a run directory, a checkpoint or a partitioned directory through.")

    @Argument(help: "What to verify.")
    var path: String

    func run() throws {
        try Terminal.run { () throws(RunError) -> Int in
            for line in try Verifier.verify(path) { Terminal.show(line) }
            return ExitCode.done
        }
    }
}
