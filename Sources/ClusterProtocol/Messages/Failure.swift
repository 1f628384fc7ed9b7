/// The error that ends a process, with the exit code for its kind.
public struct Failure: Hashable, Codable, Sendable, Error {
    /// One line for people: what went wrong, and where it helps, what was expected and what to do.
    public var text: String
    /// The exit code of the process.
    public var exitCode: Int

    /// Creates a failure.
    public init(text: String, exitCode: Int) {
        self.text = text
        self.exitCode = exitCode
    }
}

/// The exit codes of the `convoy` subcommands.
///
/// The codes from 64 to 75 agree with `sysexits.h`.
public enum ExitCode {
    /// The command did what it was asked to do.
    public static let done = 0
    /// `convoy stop` had to kill a process, or did not reach a host.
    public static let incomplete = 1
    /// A flag or an argument is wrong.
    public static let usage = 64
    /// Data, configuration or a file is bad, or a loss or a weight is not a finite number.
    public static let data = 65
    /// The cluster is lost beyond recovery, or a coordinator cannot be reached.
    public static let lost = 69
    /// Convoy itself is at fault.
    public static let internalError = 70
    /// The coordinator was reached, but the run is not healthy. The state may pass by itself.
    public static let degraded = 75
    /// A signal ended the process. A run in training writes a checkpoint first, where it can.
    public static let interrupted = 130
}

extension Failure {
    /// Returns a failure for bad data or configuration, or for a file that cannot be read or
    /// written.
    public static func data(_ text: String) -> Failure { Failure(text: text, exitCode: ExitCode.data) }

    /// Returns a failure for a wrong flag or a wrong value of a flag.
    public static func usage(_ text: String) -> Failure { Failure(text: text, exitCode: ExitCode.usage) }

    /// Returns a failure for a lost cluster, or for a coordinator that cannot be reached.
    public static func lost(_ text: String) -> Failure { Failure(text: text, exitCode: ExitCode.lost) }

    /// Returns a failure for an error of Convoy itself.
    public static func internalError(_ text: String) -> Failure {
        Failure(text: text, exitCode: ExitCode.internalError)
    }
}
