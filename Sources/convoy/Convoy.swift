import ArgumentParser
import ClusterHosts
import ClusterProtocol
import ClusterRuntime
import Glibc
import RunFiles

/// The command `convoy`. It trains convolutional networks data-parallel, with the same bits
/// whatever happens.
@main
struct Convoy: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "convoy",
        abstract: "Trains convolutional networks data-parallel across processes and hosts.",
        discussion: """
            Exit codes: 0 done, 1 not all ended by itself (stop), 64 usage, 65 bad data, configuration \
            or file, 69 cluster lost or coordinator not reached, 70 internal error, 75 reached but not \
            healthy (status), 130 interrupted after a checkpoint.
            """,
        version: "convoy 0.1.0",
        subcommands: [
            TrainCommand.self, CoordinatorCommand.self, ServerCommand.self, WorkerCommand.self,
            EvaluateCommand.self, PredictCommand.self, PartitionCommand.self, DataCommand.self,
            VerifyCommand.self,
            ModelsCommand.self, FeaturesCommand.self, LaunchCommand.self, StopCommand.self,
            MonitorCommand.self, StatusCommand.self,
            DoctorCommand.self, KeygenCommand.self, BenchCommand.self, HostCommand.self,
        ])

    static func main() {
        // Writes beyond `ulimit -f` then fail with an error, in this process and in its children.
        signal(SIGXFSZ, SIG_IGN)
        main(joiningNumbers(Array(CommandLine.arguments.dropFirst())))
    }

    /// Joins a flag and the negative number after it: `--seed -1` becomes `--seed=-1`. The number
    /// is then reported as out of range, not as an unknown flag.
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

/// The output of the subcommands. An error is one line on standard error and an exit code.
enum Terminal {
    /// Reports an error, and returns the error that ends the process with the exit code of its
    /// kind.
    static func fail(_ error: RunError) -> any Error {
        let failure = Failure(error)
        report(failure.text)
        Screen.flush()
        return ArgumentParser.ExitCode(Int32(failure.exitCode))
    }

    /// Writes an error to standard error as one line.
    static func report(_ text: String) {
        Screen.report("convoy: error: \(LineText.printable(text))\n")
    }

    /// Writes a warning to standard error as one line.
    static func warn(_ text: String) { Screen.report("convoy: warning: \(LineText.printable(text))\n") }

    /// Writes a line of results to standard output, and waits until a reader takes it.
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

    /// Runs the body of a subcommand and ends the process with the exit code that the body returns.
    static func run(_ body: () throws(RunError) -> Int) throws {
        Screen.claimStandardDescriptors()
        // The process waits only a moment for a reader that does not read.
        defer { Screen.flush() }
        let code: Int
        do throws(RunError) { code = try body() } catch { throw fail(error) }
        if code != 0 { throw ArgumentParser.ExitCode(Int32(code)) }
    }
}
