import ClusterProtocol
import Glibc
import NeuralNetwork
import Partitions
import RunFiles
import Threads

/// Looks at this host: everything that a cluster's start may founder on.
package struct HostInspection: Sendable {
    /// Where to listen for others to connect.
    package struct ListenProbe: Hashable, Sendable {
        /// 0 lets the system choose.
        package var port: Int
        package var seconds: Int

        /// Reads `PORT,SECONDS`.
        package init(_ text: String) throws(Failure) {
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
    package static func target(_ text: String) throws(Failure) -> (host: String, port: Int) {
        guard let colon = text.lastIndex(of: ":"),
            let port = Int(text[text.index(after: colon)...]), (1...65_535).contains(port),
            colon > text.startIndex
        else { throw .usage("--connect: expected HOST:PORT, found \(text)") }
        return (String(text[..<colon].filter { $0 != "[" && $0 != "]" }), port)
    }

    private static let connectTime = Duration.seconds(3)
    /// For all names together; what is left then counts as unresolved.
    private static let lookupTime = Duration.seconds(20)

    /// Addresses that processes shall bind to; empty: any.
    package var addresses: [String] = []
    /// Ports that must be free.
    package var ports: [Int] = []
    /// Names that others are reached by.
    package var names: [String] = []
    package var targets: [(host: String, port: Int)] = []
    package var directory: String?
    /// A data set, as `--data` takes it; nil: none is looked for.
    package var data: String?

    package init() {}

    /// - Throws: never for what is wrong with the host: that stands in the report.
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

    /// The first number after `word` in a file of the kernel's.
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

    /// Each address on a port of the system's choice, and each port that must be free.
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
        // Convoy makes the directories that are missing.
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

    /// Listens, says where with `tell`, and takes connections until the time is over.
    ///
    /// - Parameter pause: waits that long or less; true when somebody wants this to end.
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
    /// With the time of its end.
    fileprivate var ended: HostReport {
        var copy = self
        copy.endedAt = SteadyClock.wallSeconds
        return copy
    }
}
