import ClusterProtocol
import Glibc
import RunFiles
import Threads

/// A child process of this one, in a process group of its own, that ends when this process does.
///
/// Its standard input is a socket that this process holds open: a child started with
/// `--exit-with-parent` ends when it closes, even if this process was killed, and sends signs of life
/// over it.
package final class ChildProcess {
    package enum End: Hashable, Sendable {
        case exited(Int)
        case signalled(Int)
    }

    package let processIdentifier: Int32
    package let name: String
    private let standardInput: Int32
    private var end: End?

    /// - Parameters:
    ///   - executable: what the child is called, and what it runs unless `image` is given.
    ///   - image: the file to run.
    ///   - output: a path for standard output and error; nil lets the child share this process's.
    package init(
        name: String, executable: String, image: String? = nil, arguments: [String],
        environment: [String: String] = [:], output: String? = nil
    ) throws(Failure) {
        self.name = name
        var ends: [Int32] = [0, 0]
        // The end that this process holds must not reach any child, or none would see it close.
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else {
            throw .internalError(
                "cannot make a pair of sockets: \(String(cString: strerror(errno)))")
        }
        standardInput = ends[1]
        defer { close(ends[0]) }
        do throws(Failure) {
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

    /// How it ended, if it has; never waits.
    package func poll() -> End? {
        if let end { return end }
        var status: Int32 = 0
        guard waitpid(processIdentifier, &status, WNOHANG) == processIdentifier else { return nil }
        let signal = Int(status & 0x7F)
        end = signal == 0 ? .exited(Int(status >> 8) & 0xFF) : .signalled(signal)
        return end
    }

    /// Whether the child has sent signs of life since this was asked last.
    package func hasGivenSign() -> Bool {
        var bytes = [UInt8](repeating: 0, count: 4096)
        var hasGiven = false
        while recv(standardInput, &bytes, bytes.count, Int32(MSG_DONTWAIT)) > 0 {
            hasGiven = true
        }
        return hasGiven
    }

    package func send(signal: Int32) {
        if poll() == nil { kill(processIdentifier, signal) }
    }

    /// Waits for its end, but not longer than `limit`.
    package func wait(within limit: Duration) -> End? {
        let deadline = SteadyClock.now + limit
        while true {
            if let end = poll() { return end }
            if SteadyClock.now >= deadline { return nil }
            usleep(2_000)
        }
    }

    /// Asks it to end, and kills it when it does not.
    @discardableResult
    package func stop(asking signal: Int32 = SIGTERM, within limit: Duration) -> End {
        send(signal: signal)
        if let end = wait(within: limit) { return end }
        send(signal: SIGKILL)
        return wait(within: .seconds(30)) ?? .signalled(Int(SIGKILL))
    }
}
