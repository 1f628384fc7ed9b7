import ClusterProtocol
import ClusterRuntime
import FoundationEssentials
import Glibc
import RunFiles
import Threads

/// Carries out a launcher's requests on one host. Every launch and every stop, on this machine and
/// on others, goes through it.
package struct HostAgent {
    private static let maximumRequestByteCount = 16 << 20
    private static let startTime = Duration.seconds(3600)
    /// The time to wait for errors of new members. A wrong flag, key or address ends a process at
    /// once.
    private static let memberTime = Duration.milliseconds(500)

    private let executable: String
    private let request: HostRequest
    private let list: ProcessList
    private let run: RunDirectory
    /// Shows a line to people.
    private let note: (String) -> Void

    /// Creates an agent for one request. `executable` is the program that it starts.
    package init(_ request: HostRequest, executable: String, note: @escaping (String) -> Void) {
        self.request = request
        self.executable = executable
        self.note = note
        list = ProcessList(runDirectory: request.runDirectory)
        run = RunDirectory(request.runDirectory)
    }

    /// Reads a request from standard input, up to the end of its line.
    ///
    /// - Throws: `.usage` when the line is longer than 16 MiB or is not a request.
    package static func readRequest() throws(RunError) -> HostRequest {
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        // The line is read byte by byte, since the bytes after it belong to the request's handler.
        while read(0, &byte, 1) == 1, byte != UInt8(ascii: "\n") {
            bytes.append(byte)
            guard bytes.count <= maximumRequestByteCount else {
                throw .usage("standard input: expected a request of at most 16 MiB")
            }
        }
        guard let request = try? JSONDecoder().decode(HostRequest.self, from: Data(bytes)),
            !request.runDirectory.isEmpty
        else { throw .usage("standard input: expected a request as `convoy launch` makes it") }
        return request
    }

    /// Carries out the request. A failure stands in the answer.
    package func perform() -> HostAnswer {
        var answer = HostAnswer()
        do throws(RunError) { try perform(&answer) } catch {
            let failure = Failure(error)
            answer.problem = failure.text
            answer.exitCode = failure.exitCode
        }
        return answer
    }

    private func perform(_ answer: inout HostAnswer) throws(RunError) {
        switch request.action {
        case .look: look(&answer)
        case .prepare(let launch):
            try makeParent()
            try list.locked { () throws(RunError) in try prepare(launch) }
        case .join(let launch):
            try makeParent()
            try list.locked { () throws(RunError) in
                try list.begin(launch: launch, isMade: list.isMade, keeping: list.running)
            }
        case .put(let name): try put(name)
        case .keys(let files): try replaceKeys(files)
        case .coordinator(let launch, let start, let arguments):
            answer.endpoint = try startCoordinator(launch, start, arguments)
        case .members(let launch, let members):
            answer.started = try startMembers(launch, members)
        case .complete: try list.locked { () throws(RunError) in try list.append("complete") }
        case .stop(let seconds): try stop(within: .seconds(seconds), &answer)
        }
    }

    private func makeParent() throws(RunError) {
        try FileSystem.makeDirectories(FileSystem.parent(of: run.path))
    }

    private var nodeKeys: String { "\(request.runDirectory).node" }

    private var hasCheckpoint: Bool { !CheckpointStore.steps(in: run.checkpoints).isEmpty }

    private func look(_ answer: inout HostAnswer) {
        answer.running = list.running.map(\.name)
        answer.isComplete = list.isComplete
        answer.hasCheckpoint = hasCheckpoint
        guard answer.running.contains(ProcessList.coordinator) else { return }
        let keys = FileSystem.exists(nodeKeys) ? try? KeyRing(directory: nodeKeys) : try? KeyRing.given(nil)
        do throws(RunError) {
            _ = try StatusQuery(.directory(run), Transport(keys: keys)).ask(within: .seconds(5))
            answer.isCoordinatorAnswering = true
        } catch {
            answer.isCoordinatorAnswering = error.kind != .lost
        }
    }

    private func prepare(_ launch: String) throws(RunError) {
        if !list.running.isEmpty {
            note("ending what an earlier launch has left")
            _ = list.stopAll(within: .seconds(10), note: note)
        }
        var isMade = list.isMade
        // A run that ended before its first checkpoint has left nothing of value in a directory
        // that did not exist before or was empty.
        if !hasCheckpoint, FileSystem.exists(run.path) {
            if isMade { run.removeIfUnused(wasThere: true) }
            let names = FileSystem.names(in: run.path)
            guard names.isEmpty || !FileSystem.exists(run.configuration) && !isMade else {
                throw .runDirectory(
                    "\(run.path) holds files of something else; choose another --run-dir")
            }
            isMade = isMade || names.isEmpty
        } else if !FileSystem.exists(run.path) {
            isMade = true
        }
        try list.begin(launch: launch, isMade: isMade)
    }

    private func put(_ name: String) throws(RunError) {
        guard !name.contains("/"), !name.isEmpty else {
            throw .usage("expected a file's name without slashes, found '\(name)'")
        }
        let path = "\(request.runDirectory).\(name)"
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw FileSystem.failure("create", path) }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = read(0, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw FileSystem.failure("read what is sent for", path) }
            guard count > 0 else { return }
            var offset = 0
            while offset < count {
                let written = buffer.withUnsafeBytes {
                    write(descriptor, $0.baseAddress! + offset, count - offset)
                }
                guard written > 0 else { throw FileSystem.failure("write", path) }
                offset += written
            }
        }
    }

    /// Replaces the keys. Processes at work may read the allow-list at any moment, so each file is
    /// replaced as a whole.
    private func replaceKeys(_ files: [String: String]) throws(RunError) {
        let allowed = "\(nodeKeys)/allowed"
        for directory in [nodeKeys, allowed] where mkdir(directory, 0o700) != 0 && errno != EEXIST {
            throw FileSystem.failure("create directory", directory)
        }
        for (name, text) in files.sorted(by: { $0.key < $1.key }) {
            let parts = name.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count == 1 || parts.count == 2 && parts[0] == "allowed",
                let last = parts.last, !last.isEmpty, !last.hasPrefix(".")
            else { throw .usage("expected the name of a key, found '\(name)'") }
            let path = "\(nodeKeys)/\(name)"
            try FileSystem.write(Array(text.utf8), to: "\(path).next", mode: 0o600, durably: false)
            try FileSystem.rename("\(path).next", to: path, durably: false)
        }
        for name in FileSystem.names(in: nodeKeys) where name != "allowed" && files[name] == nil {
            unlink("\(nodeKeys)/\(name)")
        }
        for name in FileSystem.names(in: allowed) where files["allowed/\(name)"] == nil {
            unlink("\(allowed)/\(name)")
        }
    }

    // MARK: - Starting

    /// Starts one process and adds it to the list, unless its launch was given up in the meantime.
    private func start(
        _ name: String, of launch: String, _ arguments: [String], output: String
    ) throws(RunError) -> Int32 {
        var environment: [String: String] = [:]
        if FileSystem.exists(nodeKeys) {
            environment["CONVOY_KEYS"] = FileSystem.absolute(nodeKeys)
        } else if name != ProcessList.coordinator, !arguments.contains("--insecure"),
            (ProcessEnvironment.variables["CONVOY_KEYS"] ?? "").isEmpty, FileSystem.exists(run.keys)
        {
            environment["CONVOY_KEYS"] = run.keys
        }
        return try list.locked { () throws(RunError) -> Int32 in
            guard list.isOf(launch: launch) else {
                throw .fault("this launch was given up")
            }
            let pid = try Spawn.start(
                [executable] + arguments, image: executable, environment: environment, input: .null,
                output: output, group: .session)
            try list.append("\(name) \(pid) \(RunLock.startTime(of: pid) ?? 0)")
            return pid
        }
    }

    private func startCoordinator(
        _ launch: String, _ start: CoordinatorStart, _ arguments: [String]
    ) throws(RunError) -> String {
        // The run directory must not exist before the coordinator has made it, so the coordinator's
        // output is moved into it later.
        let output = "\(request.runDirectory).out"
        unlink(output)
        if start == .resume { unlink(run.endpoint) }
        var number = 1
        while FileSystem.exists("\(run.logs)/coordinator-\(number).jsonl") { number += 1 }
        let former = FileSystem.identity(run.endpoint)
        var words = ["coordinator"] + arguments + ["--run-dir", request.runDirectory]
        words += ["--log-file", "\(request.runDirectory)/logs/coordinator-\(number).jsonl"]
        switch start {
        case .new, .none: break
        case .resume: words += ["--resume", "--fresh-members"]
        case .replace: words += ["--resume"]
        }
        let pid = try self.start(ProcessList.coordinator, of: launch, words, output: output)
        let end = SteadyClock.now + Self.startTime
        // The coordinator replaces this file as a whole once it listens.
        while FileSystem.identity(run.endpoint) == former {
            var status: Int32 = 0
            if waitpid(pid, &status, WNOHANG) == pid {
                defer { unlink(output) }
                throw failure(of: "the coordinator", output, status)
            }
            guard SteadyClock.now < end else {
                throw .fault(
                    "the coordinator did not begin to listen within \(Self.startTime)")
            }
            usleep(20_000)
        }
        try? FileSystem.rename(
            output, to: "\(run.logs)/coordinator-\(number).out", durably: false)
        let text = String(decoding: try FileSystem.read(run.endpoint), as: UTF8.self)
        return text.split(separator: "\n").first.map(String.init) ?? ""
    }

    private func startMembers(
        _ launch: String, _ members: [HostMember]
    ) throws(RunError) -> [String] {
        try FileSystem.makeDirectories(run.logs)
        let present = Set(list.running.map(\.name))
        var started: [(name: String, pid: Int32)] = []
        for member in members where !present.contains(member.name) {
            let output = "\(run.logs)/\(member.name).out"
            unlink(output)
            let words = member.arguments + ["--log-file", "\(run.logs)/\(member.name).jsonl"]
            started.append(
                (member.name, try start(member.name, of: launch, words, output: output)))
        }
        guard !started.isEmpty else { return [] }
        usleep(UInt32(Self.memberTime / .microseconds(1)))
        for (name, pid) in started {
            var status: Int32 = 0
            let output = "\(run.logs)/\(name).out"
            guard waitpid(pid, &status, WNOHANG) == pid, FileSystem.byteCount(output) > 0 else {
                continue
            }
            throw failure(of: name, output, status)
        }
        return started.map(\.name)
    }

    private func failure(of name: String, _ output: String, _ status: Int32) -> RunError {
        let lines = String(
            decoding: (try? FileSystem.read(output, atMost: 1 << 20)) ?? [], as: UTF8.self
        ).split(separator: "\n")
        for line in lines.dropLast().suffix(20) { note(LineText.printable(String(line))) }
        let code = status & 0x7F == 0 ? Int(status >> 8) & 0xFF : ExitCode.internalError
        let last = lines.last.map { LineText.printable(String($0)) } ?? "it said nothing"
        return RunError(
            Failure(
                text: "\(name) has ended: \(last.replacing("convoy: error: ", with: ""))",
                exitCode: code == 0 ? ExitCode.internalError : code))
    }

    // MARK: - Stopping

    private func stop(within limit: Duration, _ answer: inout HostAnswer) throws(RunError) {
        defer {
            FileSystem.remove("\(nodeKeys)/allowed")
            FileSystem.remove(nodeKeys)
        }
        guard FileSystem.exists(list.path) else { return }
        var (count, killed) = (0, [String]())
        try list.locked { () throws(RunError) in
            count = list.running.count
            killed = list.stopAll(within: limit, note: note)
            // From here on no start of this launch finds its list.
            list.remove()
        }
        unlink("\(list.path).lock")
        answer.stopped = count
        answer.killed = killed
    }
}
