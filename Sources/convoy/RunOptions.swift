import ArgumentParser
import ClusterProtocol
import ClusterRuntime
import RunFiles

/// A run's settings: a run file and flags on top. `convoy train` and `convoy coordinator` have the same.
struct RunOptions: ParsableArguments {
    @Option(help: "A run file (YAML); the flags of settings override it.")
    var config: String?

    @Flag(
        help: """
            With --resume: go on with settings that decide bits and differ from the run's; it is \
            written into the journal.
            """)
    var changeSettings = false

    /// Flags of settings. The table of settings knows them, this parser does not.
    @Argument(parsing: .allUnrecognized, help: .hidden)
    var settings: [String] = []

    /// For the discussion of a command that has these options.
    static let help = SettingFlags.help

    /// What makes no sense for a run that begins, or for one that goes on.
    func requireFitting(isResuming: Bool) throws(Failure) {
        if changeSettings, !isResuming {
            throw .usage("--change-settings goes with --resume: a new run has no settings to change")
        }
        if try SettingFlags(settings).has("training.init"), isResuming {
            throw .usage(
                "--init and --resume exclude each other: a run goes on from its own checkpoint")
        }
    }

    /// The run's settings: the file, or `base`, or the defaults, and the flags on top.
    ///
    /// - Parameter isElsewhere: leaves relative paths as they are, since another host will read them.
    func configuration(
        over base: RunConfiguration? = nil, isElsewhere: Bool = false
    ) throws(Failure) -> RunConfiguration {
        if base != nil, config != nil {
            throw .usage("--config and --resume exclude each other: a run keeps its own file")
        }
        let flags = try SettingFlags(settings)
        var result = base ?? RunConfiguration()
        if let config { result = try RunConfiguration.load(file: config) }
        try flags.apply(to: &result)
        do throws(Failure) { try result.validate() } catch {
            throw flags.isEmpty ? error : .usage(error.text)
        }
        // A run that goes on has absolute paths; it may go on from another working directory.
        if !isElsewhere, base == nil || flags.has("data.source") { result.makePathsAbsolute() }
        return result
    }
}
