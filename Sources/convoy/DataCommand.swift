import ArgumentParser

/// The command `convoy data`, with a subcommand for each way to look at a data set.
struct DataCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "data", abstract: "Look at a data set before a run trains on it.",
        discussion: """
            For instance:
              convoy data inspect images:photos --image-size 64x64 --sheet photos.png
            """,
        subcommands: [
            DataInspectCommand.self, DataListCommand.self, DataTakeCommand.self,
            DataExplainCommand.self,
        ])
}
