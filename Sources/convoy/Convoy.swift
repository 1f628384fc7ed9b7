import ArgumentParser
import ClusterHosts
import ClusterProtocol
import ClusterRuntime
import Glibc
import RunFiles

/// Trains convolutional networks data-parallel, with the same bits whatever happens.
@main
struct Convoy: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "convoy",
        abstract: "Trains convolutional networks data-parallel across processes and hosts.",
        discussion: """
            Exit codes: 0 done, 64 usage, 65 bad data, configuration or file, 69 cluster lost or \
            coordinator not reached, 70 internal error, 75 reached but not healthy (status), 130 interrupted after a checkpoint.
            """,
        version: "convoy 0.1.0",
        subcommands: [
            TrainCommand.self, CoordinatorCommand.self, ServerCommand.self, WorkerCommand.self,
            EvaluateCommand.self, PredictCommand.self, PartitionCommand.self, VerifyCommand.self,
            LaunchCommand.self, StopCommand.self, MonitorCommand.self, StatusCommand.self,
            DoctorCommand.self, KeygenCommand.self, BenchCommand.self, HostCommand.self,
        ])

    static func main() {
        // Writes beyond `ulimit -f` then fail with a reason, here and in every child.
        signal(SIGXFSZ, SIG_IGN)
        main(joiningNumbers(Array(CommandLine.arguments.dropFirst())))
    }

    /// `--seed -1` as `--seed=-1`: a number below zero is a value that is out of range, not a flag.
    static func joiningNumbers(_ arguments: [String]) -> [String] {
        var result: [String] = []
        for argument in arguments {
            let rest = argument.dropFirst()
            let isNegative =
                argument.hasPrefix("-") && Double(rest) != nil
                && rest.first?.isNumber == true
            if isNegative, let flag = result.last, flag.hasPrefix("--"), flag.count > 2,
                !flag.contains("=")
            {
                result[result.count - 1] = "\(flag)=\(argument)"
            } else {
                result.append(argument)
            }
        }
        return result
    }
}

/// What subcommands share: errors to standard error, in one line, with their exit code.
enum Terminal {
    static func fail(_ failure: Failure) -> any Error {
        report(failure.text)
        Screen.flush()
        return ArgumentParser.ExitCode(Int32(failure.exitCode))
    }

    static func report(_ text: String) {
        Screen.report("convoy: error: \(LineText.printable(text))\n")
    }

    static func warn(_ text: String) { Screen.report("convoy: warning: \(LineText.printable(text))\n") }

    /// Shows a line of a command that is there to show it: it waits for whoever reads.
    static func show(_ text: String) {
        let bytes = Array((text + "\n").utf8)
        var offset = 0
        while offset < bytes.count {
            let count = bytes.withUnsafeBytes {
                write(1, $0.baseAddress! + offset, bytes.count - offset)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            offset += count
        }
    }

    /// Runs the body of a subcommand.
    static func run(_ body: () throws(Failure) -> Int) throws {
        Screen.claimStandardDescriptors()
        // A reader that does not read gets no more than a moment.
        defer { Screen.flush() }
        let code: Int
        do throws(Failure) { code = try body() } catch { throw fail(error) }
        if code != 0 { throw ArgumentParser.ExitCode(Int32(code)) }
    }
}
