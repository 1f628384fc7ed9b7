import ArgumentParser
import ClusterProtocol
import ClusterRuntime
import RunFiles

/// A run's settings: a run file, and flags that override it. `convoy train`, `convoy coordinator`
/// and `convoy launch` have these flags.
struct RunOptions: ParsableArguments {
    @Option(help: "A run file (YAML); the flags of settings override it.")
    var config: String?

    @Flag(
        help: """
            With --resume: go on with settings that decide bits and differ from the run's; it is \
            written into the journal.
            """)
    var changeSettings = false

    /// The flags of settings. The table of settings knows them; this parser does not.
    @Argument(parsing: .allUnrecognized, help: .hidden)
    var settings: [String] = []

    /// The text about the flags of settings, for the discussion of a command that has them.
    static let help = SettingFlags.help

    /// Refuses flags that make no sense for a new run, or for a resumed one.
    func requireFitting(isResuming: Bool) throws(RunError) {
        if changeSettings, !isResuming {
            throw .usage("--change-settings goes with --resume: a new run has no settings to change")
        }
        if try SettingFlags(settings).has("init.file"), isResuming {
            throw .usage(
                "--init and --resume exclude each other: a run goes on from its own checkpoint")
        }
    }

    /// Returns the run's settings: the run file, or `base`, or the defaults, overridden by the
    /// flags.
    ///
    /// - Parameters:
    ///   - base: the settings of the run that is resumed; nil for a new run.
    ///   - isElsewhere: whether to leave relative paths as they are, because another host will read
    ///     them.
    func configuration(
        over base: RunConfiguration? = nil, isElsewhere: Bool = false
    ) throws(RunError) -> RunConfiguration {
        if base != nil, config != nil {
            throw .usage("--config and --resume exclude each other: a run keeps its own file")
        }
        let flags = try SettingFlags(settings)
        var result = base ?? RunConfiguration()
        if let config { result = try RunConfiguration.load(file: config) }
        try flags.apply(to: &result)
        do throws(RunError) { try result.validate() } catch {
            throw flags.isEmpty ? error : .usage(error.text)
        }
        // The paths of a resumed run are absolute already. It may be resumed from another working
        // directory.
        if !isElsewhere, base == nil || flags.has("data.source") { result.makePathsAbsolute() }
        return result
    }
}
