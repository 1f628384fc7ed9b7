import Backends
import ClusterProtocol
import Glibc
import NeuralNetwork
import Partitions
import RunFiles
import Threads

/// Inspects this host: everything that can keep a cluster from starting.
package struct HostInspection: Sendable {
    /// A port to listen at, so that other hosts can try to connect.
    package struct ListenProbe: Hashable, Sendable {
        /// The port; 0 lets the system choose.
        package var port: Int
        /// The time to listen, in seconds from 1 to 600.
        package var seconds: Int

        /// Reads `PORT,SECONDS`.
        ///
        /// - Throws: `.usage` when the text has another form or range.
        package init(_ text: String) throws(RunError) {
            let parts = text.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
            guard parts.count == 2, let port = parts[0], (0...65_535).contains(port),
                let seconds = parts[1], (1...600).contains(seconds)
            else {
                throw .usage(
                    "--listen-probe: expected PORT,SECONDS with a port to 65535 (0: the system's "
                        + "choice) and 1 to 600 seconds, found \(text)")
            }
            self.port = port
            self.seconds = seconds
        }
    }

    /// Reads `HOST:PORT`, or `[ADDRESS]:PORT` for IPv6.
    ///
    /// - Throws: `.usage` when the text has another form or range.
    package static func target(_ text: String) throws(RunError) -> (host: String, port: Int) {
        guard let colon = text.lastIndex(of: ":"),
            let port = Int(text[text.index(after: colon)...]), (1...65_535).contains(port),
            colon > text.startIndex
        else { throw .usage("--connect: expected HOST:PORT, found \(text)") }
        return (String(text[..<colon].filter { $0 != "[" && $0 != "]" }), port)
    }

    private static let connectTime = Duration.seconds(3)
    /// The time for all names together. Names that are left then count as unresolved.
    private static let lookupTime = Duration.seconds(20)

    /// The addresses that processes bind to; empty means any address.
    package var addresses: [String] = []
    /// The ports that must be free.
    package var ports: [Int] = []
    /// The names by which other hosts are reached.
    package var names: [String] = []
    /// The hosts and ports to connect to.
    package var targets: [(host: String, port: Int)] = []
    /// The directory that processes run in; nil when none is inspected.
    package var directory: String?
    /// The data set, in the form of `--data`; nil when none is looked for.
    package var data: String?

    /// Creates an inspection without addresses, ports, names, targets, directory or data.
    package init() {}

    /// Inspects the host. Problems of the host stand in the report.
    package func report() -> HostReport {
        let begunAt = SteadyClock.wallSeconds
        let pageSize = sysconf(Int32(_SC_PAGESIZE))
        let memory = sysconf(Int32(_SC_PHYS_PAGES)) * pageSize
        return HostReport(
            hostName: HostFacts.hostName, build: HostFacts.build,
            coreCount: sysconf(Int32(_SC_NPROCESSORS_ONLN)), memoryByteCount: memory,
            availableByteCount: Self.kernelNumber("/proc/meminfo", "MemAvailable:").map { $0 << 10 }
                ?? memory,
            backends: Backends.available.map(\.rawValue), instructionSet: HostFacts.instructionSet,
            begunAt: begunAt, endedAt: begunAt,
            entropyBits: Self.kernelNumber("/proc/sys/kernel/random/entropy_avail", ""),
            interfaces: NetworkProbe.interfaces, lookups: lookups, binds: binds,
            connections: NetworkProbe.connect(targets, within: Self.connectTime),
            directory: directory.map(Self.facts), data: data.map(Self.dataFacts)
        ).ended
    }

    /// Returns the first number after `word` in a file of the kernel.
    private static func kernelNumber(_ path: String, _ word: String) -> Int? {
        let text = String(decoding: (try? FileSystem.read(path)) ?? [], as: UTF8.self)
        for line in text.split(separator: "\n") where line.hasPrefix(word) {
            return line.dropFirst(word.count).split(separator: " ").first.flatMap { Int($0) }
        }
        return nil
    }

    private var lookups: [HostReport.Lookup] {
        let deadline = SteadyClock.now + Self.lookupTime
        return names.map { name in
            guard SteadyClock.now < deadline else {
                return .init(
                    name: name, addresses: [], failure: "the names before it took too long")
            }
            switch NetworkProbe.addresses(of: name, port: 0) {
            case .success(let all): return .init(name: name, addresses: all.map(\.text))
            case .failure(let error): return .init(name: name, addresses: [], failure: error.text)
            }
        }
    }

    /// Tries to listen: at each address on a port that the system chooses, and at each port that
    /// must be free.
    private var binds: [HostReport.Probe] {
        let places =
            addresses.map { ($0, 0) }
            + ports.map { (addresses.first ?? "0.0.0.0", $0) }
        return places.map { address, port in
            switch NetworkProbe.listen(address, port: port) {
            case .open: .init(address: address, port: port)
            case .failed(let trouble): .init(address: address, port: port, trouble: trouble)
            }
        }
    }

    private static func facts(_ path: String) -> HostReport.Directory {
        var existing = FileSystem.absolute(path)
        // Convoy creates missing directories, so the nearest existing parent is inspected.
        while !FileSystem.exists(existing), existing != "/" {
            existing = FileSystem.parent(of: existing)
        }
        var status = statvfs()
        let free =
            statvfs(existing, &status) == 0
            ? Int(clamping: status.f_bavail) * Int(clamping: status.f_frsize) : 0
        return .init(path: path, isWritable: access(existing, W_OK) == 0, freeByteCount: free)
    }

    private static func dataFacts(_ text: String) -> HostReport.Data {
        do throws(DataError) {
            let description = try DataSource.describe(DataSpecification(text))
            let count = description.trainingCount + description.testCount
            let bytes = description.elementCount * (description.elementType == .U8 ? 1 : 4)
            return .init(
                specification: text, fingerprint: description.fingerprint, byteCount: count * bytes)
        } catch {
            return .init(
                specification: text, fingerprint: nil, byteCount: nil, failure: "\(error)")
        }
    }

    // MARK: Listening for others

    /// Listens at an address, reports the port with `tell`, and accepts connections until the time
    /// is over.
    ///
    /// - Parameter pause: Waits for at most the given time; returns true to end the listening
    ///   early.
    package static func listen(
        _ probe: ListenProbe, at address: String, tell: (Int) -> Void, pause: (Duration) -> Bool
    ) -> HostReport.Probe {
        switch NetworkProbe.listen(address, port: probe.port) {
        case .failed(let trouble):
            return .init(address: address, port: probe.port, trouble: trouble)
        case .open(let listener):
            tell(listener.port)
            let deadline = SteadyClock.now + .seconds(probe.seconds)
            while SteadyClock.now < deadline {
                listener.drain()
                if pause(min(.milliseconds(50), deadline - SteadyClock.now)) { break }
            }
            return .init(address: address, port: listener.port)
        }
    }
}

extension HostReport {
    /// The report with the present time as its end.
    fileprivate var ended: HostReport {
        var copy = self
        copy.endedAt = SteadyClock.wallSeconds
        return copy
    }
}
