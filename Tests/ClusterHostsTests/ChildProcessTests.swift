import ClusterHosts
import ClusterProtocol
import ClusterRuntime
import Glibc
import RunFiles
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(1))) struct ChildProcessTests {
    private func shell(
        _ script: String, environment: [String: String] = [:], output: String? = nil
    ) throws -> ChildProcess {
        try ChildProcess(
            name: "shell", executable: "/bin/sh", arguments: ["-c", script],
            environment: environment, output: output)
    }

    @Test(arguments: [0, 1, 7, 130, 255])
    func exitCodesAreSeen(code: Int) throws {
        let child = try shell("exit \(code)")
        #expect(child.wait(within: .seconds(20)) == .exited(code))
        #expect(child.poll() == .exited(code))
        #expect(child.stop(within: .zero) == .exited(code))
    }

    @Test(arguments: [SIGKILL, SIGTERM, SIGABRT])
    func signalsAreSeen(signal: Int32) throws {
        let child = try shell("kill -\(signal) $$; exit 3")
        #expect(child.wait(within: .seconds(20)) == .signalled(Int(signal)))
    }

    @Test func stopAsksFirst() throws {
        let directory = try TemporaryDirectory()
        let file = "\(directory.path)/output"
        let child = try shell("trap 'exit 5' TERM; echo ready; while :; do read line; done", output: file)
        try waitFor(file)
        #expect(child.poll() == nil)
        #expect(child.stop(within: .seconds(20)) == .exited(5))
    }

    @Test func stopKillsWhoDoesNotListen() throws {
        let directory = try TemporaryDirectory()
        let file = "\(directory.path)/output"
        let child = try shell("trap '' TERM; echo ready; read line", output: file)
        try waitFor(file)
        #expect(child.wait(within: .milliseconds(20)) == nil)
        #expect(child.stop(within: .milliseconds(100)) == .signalled(Int(SIGKILL)))
    }

    @Test func noChildOutlivesItsHandle() throws {
        var child: ChildProcess? = try shell("exec sleep 30")
        let identifier = try #require(child?.processIdentifier)
        #expect(kill(identifier, 0) == 0)
        child = nil
        // The child was killed and reaped: no process has its number.
        #expect(kill(identifier, 0) != 0 && errno == ESRCH)
    }

    /// A child's standard input is open and empty until this process closes it, and no sibling
    /// holds it open.
    @Test func standardInputIsASocketOfItsOwn() throws {
        let directory = try TemporaryDirectory()
        let file = "\(directory.path)/output"
        let first = try shell("read line; exit 9")
        let listing = "for n in /proc/$$/fd/*; do readlink $n; done"
        let second = try shell("echo $(\(listing))", output: file)
        #expect(second.wait(within: .seconds(20)) == .exited(0))
        #expect(first.poll() == nil)
        // The socket's other end is held by this process.
        let socket = try #require(link("/proc/\(first.processIdentifier)/fd/0"))
        #expect(socket.hasPrefix("socket:"))
        let held = try directory.text("output")
        #expect(!held.contains(socket), "\(held) holds \(socket)")
    }

    @Test func aChildLeadsAProcessGroup() throws {
        let child = try shell("read line")
        #expect(getpgid(child.processIdentifier) == child.processIdentifier)
    }

    @Test func outputIsAppendedAndTheEnvironmentPassedOn() throws {
        let directory = try TemporaryDirectory()
        let file = "\(directory.path)/output"
        try directory.write(Array("before\n".utf8), "output")
        let child = try shell(
            "echo $CONVOY_TEST_WORD; echo error >&2; test -n \"$PATH\"",
            environment: ["CONVOY_TEST_WORD": "a b=c"], output: file)
        #expect(child.wait(within: .seconds(20)) == .exited(0))
        #expect(try directory.text("output") == "before\na b=c\nerror\n")
    }

    @Test func whatCannotStartIsNamed() {
        let failure = failure {
            try ChildProcess(name: "none", executable: "/nowhere/convoy", arguments: [])
        }
        #expect(failure?.kind == .fault)
        #expect(failure?.text.contains("/nowhere/convoy") == true)
    }

    private func link(_ path: String) -> String? {
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = bytes.withUnsafeMutableBytes {
            readlink(path, $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
        }
        return count < 0 ? nil : String(decoding: bytes[..<count], as: UTF8.self)
    }

    /// Waits until the child has written something.
    private func waitFor(_ path: String) throws {
        for _ in 0..<10_000 {
            if (try? FileSystem.read(path))?.isEmpty == false { return }
            usleep(1_000)
        }
        Issue.record("the child wrote nothing within 10 s")
    }
}
