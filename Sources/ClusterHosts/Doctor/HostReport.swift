import RunFiles

/// What one host says of itself for `convoy doctor --json`: facts, no judgement.
package struct HostReport: Hashable, Codable, Sendable {
    /// Of this format.
    package static let currentVersion = 1

    package struct Interface: Hashable, Codable, Sendable {
        package var name: String
        package var address: String

        package init(name: String, address: String) {
            self.name = name
            self.address = address
        }
    }

    package struct Lookup: Hashable, Codable, Sendable {
        package var name: String
        package var addresses: [String]
        /// Why there are none.
        package var failure: String?

        package init(name: String, addresses: [String], failure: String? = nil) {
            self.name = name
            self.addresses = addresses
            self.failure = failure
        }
    }

    /// Whether a TCP port could be listened at, or reached.
    package struct Probe: Hashable, Codable, Sendable {
        package var address: String
        package var port: Int
        /// Nil: it could.
        package var trouble: NetworkTrouble?

        package init(address: String, port: Int, trouble: NetworkTrouble? = nil) {
            self.address = address
            self.port = port
            self.trouble = trouble
        }
    }

    package struct Directory: Hashable, Codable, Sendable {
        package var path: String
        package var isWritable: Bool
        package var freeByteCount: Int

        package init(path: String, isWritable: Bool, freeByteCount: Int) {
            self.path = path
            self.isWritable = isWritable
            self.freeByteCount = freeByteCount
        }
    }

    package struct Data: Hashable, Codable, Sendable {
        package var specification: String
        /// What it holds; nil when it cannot be read.
        package var fingerprint: String?
        package var byteCount: Int?
        package var failure: String?

        package init(
            specification: String, fingerprint: String?, byteCount: Int?, failure: String? = nil
        ) {
            self.specification = specification
            self.fingerprint = fingerprint
            self.byteCount = byteCount
            self.failure = failure
        }
    }

    package var version = Self.currentVersion
    package var hostName: String
    /// See `HostFacts.build`.
    package var build: String
    package var coreCount: Int
    package var memoryByteCount: Int
    package var availableByteCount: Int
    package var backends: [String]
    package var instructionSet: String
    /// Seconds since 1970 by this host's clock, when the report was begun and ended.
    package var begunAt: Double
    package var endedAt: Double
    package var entropyBits: Int?
    package var interfaces: [Interface]
    package var lookups: [Lookup]
    package var binds: [Probe]
    package var connections: [Probe]
    package var directory: Directory?
    package var data: Data?

    package init(
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
package enum NetworkTrouble: Hashable, Codable, Sendable, CustomStringConvertible {
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

    package var description: String {
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
    package var summary: String {
        let disk = directory.map {
            ", \(NumberText.grouped($0.freeByteCount >> 20)) MiB of disk free"
        }
        return TextTable.printable(
            "\(hostName), \(coreCount) cores, \(NumberText.grouped(memoryByteCount >> 20)) MiB, "
                + "\(instructionSet)\(disk ?? "")")
    }

    /// Addresses that others may reach, and what the host's name is.
    package var addressText: String {
        let own = interfaces.filter { !NetworkProbe.isLoopback($0.address) }
            .map { "\($0.address) (\($0.name))" }
        let name = lookups.first.map { lookup in
            "; \(lookup.name) is "
                + (lookup.addresses.isEmpty
                    ? "not known" : lookup.addresses.joined(separator: ", "))
        }
        return TextTable.printable(
            (own.isEmpty ? "loopback alone" : own.joined(separator: ", ")) + (name ?? ""))
    }
}

extension ClusterFacts.Host {
    /// For people; nil without a report.
    package var summary: String? {
        report.map { "ok       \(host.name): \($0.summary), build \($0.build)" }
    }
}
