import ClusterProtocol

/// Exit codes of every subcommand; see DESIGN, "What other tools rely on".
public enum ExitCode {
    public static let done = 0
    public static let usage = 64
    public static let data = 65
    public static let lost = 69
    public static let internalError = 70
    /// Reached, but not healthy: it may pass.
    public static let degraded = 75
    public static let interrupted = 130
}

extension Failure {
    /// Bad data or configuration, or a file that cannot be read or written.
    public static func data(_ text: String) -> Failure { Failure(text: text, exitCode: ExitCode.data) }

    /// A flag or its value.
    public static func usage(_ text: String) -> Failure { Failure(text: text, exitCode: ExitCode.usage) }

    /// The cluster is lost, or a coordinator cannot be reached.
    public static func lost(_ text: String) -> Failure { Failure(text: text, exitCode: ExitCode.lost) }

    public static func internalError(_ text: String) -> Failure {
        Failure(text: text, exitCode: ExitCode.internalError)
    }
}
