import RunFiles

/// What one host says of itself for `convoy doctor --json`: facts, no judgement.
public struct HostReport: Hashable, Codable, Sendable {
    /// Of this format.
    public static let currentVersion = 1

    public struct Interface: Hashable, Codable, Sendable {
        public var name: String
        public var address: String

        public init(name: String, address: String) {
            self.name = name
            self.address = address
        }
    }

    public struct Lookup: Hashable, Codable, Sendable {
        public var name: String
        public var addresses: [String]
        /// Why there are none.
        public var failure: String?

        public init(name: String, addresses: [String], failure: String? = nil) {
            self.name = name
            self.addresses = addresses
            self.failure = failure
        }
    }

    /// Whether a TCP port could be listened at, or reached.
    public struct Probe: Hashable, Codable, Sendable {
        public var address: String
        public var port: Int
        /// Nil: it could.
        public var trouble: NetworkTrouble?

        public init(address: String, port: Int, trouble: NetworkTrouble? = nil) {
            self.address = address
            self.port = port
            self.trouble = trouble
        }
    }

    public struct Directory: Hashable, Codable, Sendable {
        public var path: String
        public var isWritable: Bool
        public var freeByteCount: Int

        public init(path: String, isWritable: Bool, freeByteCount: Int) {
            self.path = path
            self.isWritable = isWritable
            self.freeByteCount = freeByteCount
        }
    }

    public struct Data: Hashable, Codable, Sendable {
        public var specification: String
        /// What it holds; nil when it cannot be read.
        public var fingerprint: String?
        public var byteCount: Int?
        public var failure: String?

        public init(
            specification: String, fingerprint: String?, byteCount: Int?, failure: String? = nil
        ) {
            self.specification = specification
            self.fingerprint = fingerprint
            self.byteCount = byteCount
            self.failure = failure
        }
    }

    public var version = Self.currentVersion
    public var hostName: String
    /// See `HostFacts.build`.
    public var build: String
    public var coreCount: Int
    public var memoryByteCount: Int
    public var availableByteCount: Int
    public var backends: [String]
    public var instructionSet: String
    /// Seconds since 1970 by this host's clock, when the report was begun and ended.
    public var begunAt: Double
    public var endedAt: Double
    public var entropyBits: Int?
    public var interfaces: [Interface]
    public var lookups: [Lookup]
    public var binds: [Probe]
    public var connections: [Probe]
    public var directory: Directory?
    public var data: Data?

    public init(
        hostName: String, build: String, coreCount: Int, memoryByteCount: Int,
        availableByteCount: Int, backends: [String], instructionSet: String, begunAt: Double,
        endedAt: Double, entropyBits: Int?, interfaces: [Interface], lookups: [Lookup] = [],
        binds: [Probe] = [], connections: [Probe] = [], directory: Directory? = nil,
        data: Data? = nil
    ) {
        self.hostName = hostName
        self.build = build
        self.coreCount = coreCount
        self.memoryByteCount = memoryByteCount
        self.availableByteCount = availableByteCount
        self.backends = backends
        self.instructionSet = instructionSet
        self.begunAt = begunAt
        self.endedAt = endedAt
        self.entropyBits = entropyBits
        self.interfaces = interfaces
        self.lookups = lookups
        self.binds = binds
        self.connections = connections
        self.directory = directory
        self.data = data
    }
}

/// Why a port could not be listened at or reached.
public enum NetworkTrouble: Hashable, Codable, Sendable, CustomStringConvertible {
    /// The name is not known.
    case unresolved
    /// No interface has this address.
    case addressNotHere
    case portInUse
    case noPermission
    case noRoute
    /// The other side says that nobody listens.
    case refused
    /// No answer at all: dropped on the way.
    case noAnswer
    case other(String)

    public var description: String {
        switch self {
        case .unresolved: "the name does not resolve"
        case .addressNotHere: "no interface has this address"
        case .portInUse: "the port is in use"
        case .noPermission: "no permission"
        case .noRoute: "no route"
        case .refused: "refused"
        case .noAnswer: "no answer"
        case .other(let text): text
        }
    }
}

extension HostReport {
    /// For people, in one line.
    public var summary: String {
        let disk = directory.map {
            ", \(NumberText.grouped($0.freeByteCount >> 20)) MiB of disk free"
        }
        return TextTable.printable(
            "\(hostName), \(coreCount) cores, \(NumberText.grouped(memoryByteCount >> 20)) MiB, "
                + "\(instructionSet)\(disk ?? "")")
    }

    /// Addresses that others may reach, and what the host's name is.
    public var addressText: String {
        let own = interfaces.filter { !NetworkProbe.isLoopback($0.address) }
            .map { "\($0.address) (\($0.name))" }
        let name = lookups.first.map { lookup in
            "; \(lookup.name) is " + (lookup.addresses.isEmpty
                ? "not known" : lookup.addresses.joined(separator: ", "))
        }
        return TextTable.printable(
            (own.isEmpty ? "loopback alone" : own.joined(separator: ", ")) + (name ?? ""))
    }
}

extension ClusterFacts.Host {
    /// For people; nil without a report.
    public var summary: String? {
        report.map { "ok       \(host.name): \($0.summary), build \($0.build)" }
    }
}
