import ClusterProtocol
import Glibc
import RunFiles
import Threads

/// A child process in a process group of its own. It ends when this process does.
///
/// The child's standard input is a socket that this process holds open. A child started with
/// `--exit-with-parent` ends when the socket closes, even if this process was killed. The child
/// also sends signs of life over the socket.
package final class ChildProcess {
    /// How a process ended: with an exit code, or by a signal.
    package enum End: Hashable, Sendable {
        case exited(Int)
        case signalled(Int)
    }

    /// The number of the process.
    package let processIdentifier: Int32
    /// The name of the child in messages.
    package let name: String
    private let standardInput: Int32
    private var end: End?

    /// Starts the child.
    ///
    /// - Parameters:
    ///   - executable: First word of the child's command line, and the file to run unless `image`
    ///     is given.
    ///   - image: Path of the file to run.
    ///   - output: Path of a file for standard output and error. With nil the child shares those of
    ///     this process.
    /// - Throws: `.fault` when the child cannot be started.
    package init(
        name: String, executable: String, image: String? = nil, arguments: [String],
        environment: [String: String] = [:], output: String? = nil
    ) throws(RunError) {
        self.name = name
        var ends: [Int32] = [0, 0]
        // No child may inherit the end that this process holds, or the child would never see it
        // close.
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else {
            throw .fault(
                "cannot make a pair of sockets: \(String(cString: strerror(errno)))")
        }
        standardInput = ends[1]
        defer { close(ends[0]) }
        do throws(RunError) {
            processIdentifier = try Spawn.start(
                [executable] + arguments, image: image ?? executable, environment: environment,
                input: .descriptor(ends[0]), output: output, group: .process)
        } catch {
            close(ends[1])
            throw error
        }
    }

    deinit {
        close(standardInput)
        if end == nil {
            kill(processIdentifier, SIGKILL)
            _ = wait(within: .seconds(10))
        }
    }

    /// Returns how the child ended, or nil while it runs. Never waits.
    package func poll() -> End? {
        if let end { return end }
        var status: Int32 = 0
        guard waitpid(processIdentifier, &status, WNOHANG) == processIdentifier else { return nil }
        let signal = Int(status & 0x7F)
        end = signal == 0 ? .exited(Int(status >> 8) & 0xFF) : .signalled(signal)
        return end
    }

    /// Returns whether the child has sent signs of life since the last call.
    package func hasGivenSign() -> Bool {
        var bytes = [UInt8](repeating: 0, count: 4096)
        var hasGiven = false
        while recv(standardInput, &bytes, bytes.count, Int32(MSG_DONTWAIT)) > 0 {
            hasGiven = true
        }
        return hasGiven
    }

    /// Sends a signal, unless the child has ended.
    package func send(signal: Int32) {
        if poll() == nil { kill(processIdentifier, signal) }
    }

    /// Waits until the child ends, but not longer than `limit`. Returns nil when the time was over
    /// first.
    package func wait(within limit: Duration) -> End? {
        let deadline = SteadyClock.now + limit
        while true {
            if let end = poll() { return end }
            if SteadyClock.now >= deadline { return nil }
            usleep(2_000)
        }
    }

    /// Asks the child to end, and kills it when it has not ended within `limit`.
    @discardableResult
    package func stop(asking signal: Int32 = SIGTERM, within limit: Duration) -> End {
        send(signal: signal)
        if let end = wait(within: limit) { return end }
        send(signal: SIGKILL)
        return wait(within: .seconds(30)) ?? .signalled(Int(SIGKILL))
    }
}
