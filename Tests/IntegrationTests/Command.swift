import ClusterHosts
import ClusterRuntime
import FoundationEssentials
import Glibc
import RunFiles
import TestSupport
import Testing
import Threads

/// One process of the executable, with standard output and standard error kept apart.
///
/// The process is killed with the last reference, and the processes it started end with it.
final class Command {
    /// How the process ended, and its output.
    struct Result: CustomStringConvertible {
        var arguments: [String]
        var end: ChildProcess.End?
        var output: String
        var errors: String
        var seconds: Double

        var exitCode: Int? {
            if case .exited(let code) = end { code } else { nil }
        }

        /// The non-empty lines of standard error.
        var errorLines: [Substring] { errors.split(separator: "\n") }

        var description: String {
            let how = end.map { "\($0)" } ?? "still running"
            return "convoy \(arguments.joined(separator: " "))\n\(how) after \(seconds) s\n"
                + "--- output\n\(output)--- errors\n\(errors)"
        }
    }

    /// Enough time for an ordinary run on a busy machine.
    static let usualLimit = Duration.seconds(120)

    let child: ChildProcess
    let arguments: [String]
    private let directory: TemporaryDirectory
    private let start = SteadyClock.now

    /// Starts the executable.
    ///
    /// - Parameter shell: commands that run before the executable takes the shell's place, for
    ///   instance `mount ... &&`, in their own mount namespace.
    /// - Parameter user: the user of the process; nil for this user.
    init(
        _ arguments: [String], shell: String? = nil, environment: [String: String] = [:],
        executable: String = ConvoyExecutable.path, as user: OtherUser? = nil
    ) throws {
        self.arguments = arguments
        directory = try TemporaryDirectory()
        let own = shell.map { ["unshare", "-m", "sh", "-c", "\($0) exec \"$@\"", "sh"] } ?? []
        child = try ChildProcess(
            name: arguments.first ?? "convoy", executable: "/bin/sh",
            arguments: ["-c", "exec \"$@\" 2>\"$0\"", "\(directory.path)/errors"] + own
                + (user?.prefix ?? []) + [user?.executable ?? executable] + arguments,
            environment: environment, output: "\(directory.path)/output")
    }

    var hasEnded: Bool { child.poll() != nil }

    var output: String { text("output") }
    var errors: String { text("errors") }

    /// Waits for the process to end. A process that is late is killed, and its `end` is nil.
    func finish(within limit: Duration = usualLimit) -> Result {
        let end = child.wait(within: limit)
        let seconds = (SteadyClock.now - start) / .milliseconds(1)
        if end == nil { child.stop(asking: SIGKILL, within: .seconds(10)) }
        return Result(
            arguments: arguments, end: end, output: output, errors: errors,
            seconds: Double(seconds) / 1000)
    }

    private func text(_ name: String) -> String {
        String(decoding: (try? FileSystem.read("\(directory.path)/\(name)")) ?? [], as: UTF8.self)
    }

    /// Runs the executable to its end.
    static func run(
        _ arguments: [String], shell: String? = nil, as user: OtherUser? = nil,
        within limit: Duration = usualLimit
    ) throws -> Result {
        try Command(arguments, shell: shell, as: user).finish(within: limit)
    }

    /// Runs the executable to its end and requires exit code 0.
    static func succeed(
        _ arguments: [String], within limit: Duration = usualLimit,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> Result {
        let result = try run(arguments, within: limit)
        try #require(result.exitCode == 0, "\(result)", sourceLocation: sourceLocation)
        return result
    }
}

/// Waits until `body` returns a value.
func eventually<Value>(
    _ what: String, within limit: Duration = .seconds(60),
    sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Value?
) throws -> Value {
    let deadline = SteadyClock.now + limit
    while SteadyClock.now < deadline {
        if let value = try body() { return value }
        usleep(5_000)
    }
    return try #require(try body(), "\(what): not within \(limit)", sourceLocation: sourceLocation)
}

func eventually(
    _ what: String, within limit: Duration = .seconds(60),
    sourceLocation: SourceLocation = #_sourceLocation, _ condition: () throws -> Bool
) throws {
    let _: Bool = try eventually(what, within: limit, sourceLocation: sourceLocation) {
        try condition() ? true : nil
    }
}
