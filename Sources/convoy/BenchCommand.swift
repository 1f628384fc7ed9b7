import ArgumentParser

/// Measurements of single parts.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure this build on this host.",
        subcommands: [
            BenchStepCommand.self, BenchExchangeCommand.self, BenchExchangeWorkerCommand.self,
        ])
}
