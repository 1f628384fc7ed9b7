import ClusterProtocol
import RunFiles

/// The hosts of a cluster, as read from a file with one line for each host: `HOST ROLE[,ROLE...]
/// [KEY=VALUE...]`.
///
/// `Cluster/hosts.example`, the file that users copy, documents the format. The format is strict:
/// an unknown word is an error that names its line.
package struct ClusterFile: Hashable, Sendable {
    /// One host and what runs on it.
    package struct Host: Hashable, Sendable {
        /// The line of the file, from 1; 0 for a host that no file names.
        package var line: Int
        /// The name or address that ssh gets.
        package var name: String
        /// Whether the coordinator runs on this host.
        package var isCoordinator = false
        /// The number of servers on this host.
        package var serverCount = 0
        /// The number of workers on this host.
        package var workerCount = 0
        /// The number of compute threads of each worker.
        package var threadCount = 1
        /// The user that ssh logs in as; nil leaves the choice to ssh.
        package var user: String?
        /// The address that its processes bind to and other hosts connect to. Nil means the
        /// addresses that `name` resolves to.
        package var address: String?
        /// The port that the coordinator listens at; nil on other hosts.
        package var port: Int?
        /// The directory that its processes run in and that holds the executable. With nil,
        /// processes run in the login directory (on this machine: the current directory), and the
        /// executable has the same path as on this machine.
        package var directory: String?

        /// The name or address by which other hosts reach it.
        package var reachableAt: String { address ?? name }

        /// The destination that ssh connects to.
        package var destination: String { user.map { "\($0)@\(name)" } ?? name }
    }

    /// A process that the file asks for.
    package struct PlannedProcess: Hashable, Sendable {
        /// The role of the process.
        package var role: Role
        /// The number within the role, from 1.
        package var number: Int
        /// The host that it runs on.
        package var host: Host

        /// The process as a line for shell scripts. Fields are separated by tabs and never empty:
        /// role, number, host, user, address, port, threads, directory. `-` stands for what is not
        /// given.
        package var line: String {
            let fields = [
                role.rawValue, "\(number)", host.name, host.user, host.address,
                role == .coordinator ? host.port.map { "\($0)" } : nil,
                role == .worker ? "\(host.threadCount)" : nil, host.directory,
            ]
            return fields.map { $0 ?? "-" }.joined(separator: "\t")
        }
    }

    /// The largest file that is read, in bytes.
    package static let maximumByteCount = 1 << 20
    /// The largest number of hosts.
    package static let maximumHostCount = 1024
    /// The coordinator's port when the file gives none.
    package static let defaultPort = 5555

    /// The file's name, for errors.
    package let fileName: String
    /// The hosts in the order of the file.
    package let hosts: [Host]

    /// Reads the file at `path`.
    ///
    /// - Throws: `.storage` when the file cannot be read, `.configuration` when its text is not a
    ///   valid cluster file.
    package static func load(_ path: String) throws(RunError) -> ClusterFile {
        try ClusterFile(FileSystem.read(path), fileName: path)
    }

    /// Reads the contents of a cluster file.
    ///
    /// - Throws: `.configuration` when a line is invalid, or there is not exactly one coordinator
    ///   and at least one worker.
    package init(_ bytes: [UInt8], fileName: String) throws(RunError) {
        guard bytes.count <= Self.maximumByteCount,
            // Some editors begin a file with a byte order mark.
            let text = String(
                validating: bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes.dropFirst(3) : bytes[...],
                as: UTF8.self)
        else { throw .configuration("\(fileName): expected UTF-8 text of at most 1 MiB") }
        self.fileName = fileName
        var hosts: [Host] = []
        // Swift treats CR LF as one character.
        let lines = text.split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" }
        for (index, line) in lines.enumerated() {
            let parser = ClusterLineParser(place: "\(fileName), line \(index + 1)", line: index + 1)
            guard let host = try parser.host(line) else { continue }
            if let other = hosts.first(where: { $0.name == host.name }) {
                throw parser.failure(
                    "host \(host.name)", "one line a host, with all its roles",
                    "another in line \(other.line)")
            }
            hosts.append(host)
            guard hosts.count <= Self.maximumHostCount else {
                throw .configuration(
                    "\(fileName): expected at most \(Self.maximumHostCount) hosts, found more")
            }
        }
        self.hosts = hosts
        try check()
    }

    /// Creates a cluster of given hosts, without checks.
    package init(fileName: String, hosts: [Host]) {
        self.fileName = fileName
        self.hosts = hosts
    }

    private func check() throws(RunError) {
        let coordinators = hosts.filter(\.isCoordinator)
        guard coordinators.count == 1 else {
            let lines = coordinators.map { "line \($0.line)" }.joined(separator: ", ")
            throw .configuration(
                "\(fileName): expected one host with the role coordinator, found "
                    + (coordinators.isEmpty ? "none" : "\(coordinators.count) (\(lines))"))
        }
        guard hosts.contains(where: { $0.workerCount > 0 }) else {
            throw .configuration("\(fileName): expected a host with the role worker, found none")
        }
    }

    /// The coordinator's host. There is exactly one.
    package var coordinator: Host { hosts.first(where: \.isCoordinator) ?? hosts[0] }

    /// All processes in the order in which they start: coordinator, servers, workers.
    package var plan: [PlannedProcess] {
        var plan = [PlannedProcess(role: .coordinator, number: 1, host: coordinator)]
        for (role, count) in [(Role.server, \Host.serverCount), (.worker, \.workerCount)] {
            var number = 0
            for host in hosts {
                for _ in 0..<host[keyPath: count] {
                    number += 1
                    plan.append(PlannedProcess(role: role, number: number, host: host))
                }
            }
        }
        return plan
    }
}

/// Reads one line of a cluster file.
package struct ClusterLineParser {
    /// The file and line, for errors.
    package let place: String
    /// The line number, from 1.
    package let line: Int

    private static let keys = [
        "workers", "servers", "threads", "user", "address", "port", "directory",
    ]

    /// Returns the error for a part of the line.
    package func failure(_ what: String, _ expected: String, _ found: String) -> RunError {
        .configuration("\(place): \(what): expected \(expected), found \(found)")
    }

    /// Returns the host of a line, or nil for an empty line or a comment.
    ///
    /// - Throws: `.configuration` when the line is invalid.
    package func host(_ text: Substring) throws(RunError) -> ClusterFile.Host? {
        var words: [Substring] = []
        for word in text.split(whereSeparator: { $0 == " " || $0 == "\t" }) {
            if word.hasPrefix("#") { break }
            words.append(word)
        }
        guard let first = words.first else { return nil }
        var host = ClusterFile.Host(line: line, name: try name(first))
        guard words.count > 1 else {
            throw failure(
                "host \(first)", "a role after it: coordinator, server or worker",
                "the end of the line")
        }
        try read(roles: words[1], into: &host)
        var seen: Set<Substring> = []
        for word in words.dropFirst(2) {
            let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, Self.keys.contains(String(parts[0])) else {
                throw failure(
                    "'\(word)'", "KEY=VALUE with one of \(Self.keys.joined(separator: ", "))",
                    Self.keys.contains(String(parts[0])) ? "no value" : "another key")
            }
            guard seen.insert(parts[0]).inserted else {
                throw failure("\(parts[0])=", "it once", "it twice")
            }
            try read(String(parts[0]), String(parts[1]), into: &host)
        }
        if host.isCoordinator, host.port == nil { host.port = ClusterFile.defaultPort }
        return host
    }

    private func read(roles text: Substring, into host: inout ClusterFile.Host) throws(RunError) {
        var seen: Set<Substring> = []
        for word in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard seen.insert(word).inserted else {
                throw failure("roles", "each once", "\(word) twice")
            }
            switch word {
            case "coordinator": host.isCoordinator = true
            case "server": host.serverCount = 1
            case "worker": host.workerCount = 1
            default:
                throw failure(
                    "role", "coordinator, server or worker, several separated by commas",
                    "'\(word)'")
            }
        }
    }

    private func read(
        _ key: String, _ value: String, into host: inout ClusterFile.Host
    ) throws(RunError) {
        switch key {
        case "workers":
            host.workerCount = try number(key, value, 1...1024, of: "worker", host.workerCount > 0)
        case "servers":
            host.serverCount = try number(key, value, 1...1024, of: "server", host.serverCount > 0)
        case "threads":
            host.threadCount = try number(key, value, 1...1024, of: "worker", host.workerCount > 0)
        case "port":
            host.port = try number(key, value, 1...65_535, of: "coordinator", host.isCoordinator)
        case "user": host.user = try user(value)
        case "address": host.address = try address(value)
        default: host.directory = try directory(value)
        }
    }

    private func number(
        _ key: String, _ value: String, _ range: ClosedRange<Int>, of role: String, _ hasRole: Bool
    ) throws(RunError) -> Int {
        guard hasRole else {
            throw failure("\(key)=", "it on a host with the role \(role)", "it here")
        }
        guard value.utf8.allSatisfy({ (48...57).contains($0) }), let number = Int(value),
            range.contains(number)
        else {
            throw failure(
                "\(key)=", "a whole number from \(range.lowerBound) to \(range.upperBound)",
                "'\(value)'")
        }
        return number
    }

    /// Reads a host name. It must not begin with a hyphen, since ssh would take it for a flag.
    private func name(_ text: Substring) throws(RunError) -> String {
        guard (1...253).contains(text.utf8.count), !text.hasPrefix("-"),
            text.utf8.allSatisfy({ Self.isWordByte($0) || $0 == UInt8(ascii: ":") })
        else {
            throw failure(
                "host", "a name or address of letters, digits and . - _ :", "'\(text)'")
        }
        return String(text)
    }

    private func user(_ text: String) throws(RunError) -> String {
        guard (1...64).contains(text.utf8.count), !text.hasPrefix("-"),
            text.utf8.allSatisfy(Self.isWordByte)
        else { throw failure("user=", "a name of letters, digits and . - _", "'\(text)'") }
        return text
    }

    private func address(_ text: String) throws(RunError) -> String {
        guard NetworkProbe.isNumeric(text) else {
            throw failure("address=", "an IPv4 or IPv6 address", "'\(text)'")
        }
        return text
    }

    private func directory(_ text: String) throws(RunError) -> String {
        guard text.hasPrefix("/"), text.utf8.count <= 1024, text.utf8.allSatisfy({ $0 >= 0x20 })
        else { throw failure("directory=", "an absolute path", "'\(text)'") }
        return text
    }

    private static func isWordByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"),
            UInt8(ascii: "_"):
            true
        default: false
        }
    }
}
