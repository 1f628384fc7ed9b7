import ArgumentParser

/// The command `convoy bench`, with a subcommand for each measurement.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure this build on this host.",
        subcommands: [
            BenchStepCommand.self, BenchTransformationsCommand.self, BenchExchangeCommand.self,
            BenchExchangeWorkerCommand.self,
        ])
}
