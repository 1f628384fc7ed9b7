/// What ends a process, and what one process tells another of its end: a line for people and an
/// exit code.
///
/// A failure is not thrown: code throws a ``RunError``. ``init(_:)`` is the only place where an
/// error gets an exit code.
public struct Failure: Hashable, Codable, Sendable {
    /// One line for people: what went wrong, and where it helps, what was expected and what to do.
    public var text: String
    /// The exit code of the process.
    public var exitCode: Int

    /// Creates a failure.
    public init(text: String, exitCode: Int) {
        self.text = text
        self.exitCode = exitCode
    }

    /// Creates the failure of a process that ends with an error.
    public init(_ error: RunError) {
        let exitCode =
            switch error.kind {
            case .usage: ExitCode.usage
            case .configuration, .data, .model, .checkpoint, .runDirectory, .storage, .memory,
                .occupied, .keys, .host, .divergence:
                ExitCode.data
            case .lost: ExitCode.lost
            case .interrupted: ExitCode.interrupted
            case .fault: ExitCode.internalError
            }
        self.init(text: error.text, exitCode: exitCode)
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

extension RunError {
    /// Creates the error for the failure of another process.
    ///
    /// Several kinds share the exit code 65. Which one it was is not known here, so the error is of
    /// kind ``Kind/host``. A code with which no command ends by itself is a ``Kind/fault``.
    public init(_ failure: Failure) {
        let kind: Kind =
            switch failure.exitCode {
            case ExitCode.usage: .usage
            case ExitCode.data: .host
            case ExitCode.lost: .lost
            case ExitCode.interrupted: .interrupted
            default: .fault
            }
        self.init(kind, failure.text)
    }
}
