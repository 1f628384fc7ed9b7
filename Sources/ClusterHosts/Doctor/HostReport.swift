import RunFiles

/// The facts that one host reports for `convoy doctor --json`, without judgement.
package struct HostReport: Hashable, Codable, Sendable {
    /// The version of the report's format.
    package static let currentVersion = 1

    /// One address of a network interface.
    package struct Interface: Hashable, Codable, Sendable {
        /// The name of the interface.
        package var name: String
        /// The IPv4 or IPv6 address.
        package var address: String

        /// Creates an interface.
        package init(name: String, address: String) {
            self.name = name
            self.address = address
        }
    }

    /// The result of resolving a host name.
    package struct Lookup: Hashable, Codable, Sendable {
        /// The name.
        package var name: String
        /// The addresses that the name resolves to.
        package var addresses: [String]
        /// The reason when there are no addresses.
        package var failure: String?

        /// Creates the result of a lookup.
        package init(name: String, addresses: [String], failure: String? = nil) {
            self.name = name
            self.addresses = addresses
            self.failure = failure
        }
    }

    /// The result of listening at a TCP port, or of connecting to one.
    package struct Probe: Hashable, Codable, Sendable {
        /// The address or host name.
        package var address: String
        /// The port.
        package var port: Int
        /// The trouble; nil when listening or connecting succeeded.
        package var trouble: NetworkTrouble?

        /// Creates a result.
        package init(address: String, port: Int, trouble: NetworkTrouble? = nil) {
            self.address = address
            self.port = port
            self.trouble = trouble
        }
    }

    /// The directory that the host's processes run in.
    package struct Directory: Hashable, Codable, Sendable {
        /// The path as it was asked for.
        package var path: String
        /// Whether this user may write in the directory, or in its nearest existing parent.
        package var isWritable: Bool
        /// The free space, in bytes.
        package var freeByteCount: Int

        /// Creates the facts about a directory.
        package init(path: String, isWritable: Bool, freeByteCount: Int) {
            self.path = path
            self.isWritable = isWritable
            self.freeByteCount = freeByteCount
        }
    }

    /// The data set on the host.
    package struct Data: Hashable, Codable, Sendable {
        /// The data set, in the form of `--data`.
        package var specification: String
        /// The fingerprint of the contents; nil when the data set cannot be read.
        package var fingerprint: String?
        /// The size of the decoded data in bytes; nil when the data set cannot be read.
        package var byteCount: Int?
        /// The reason why the data set cannot be read.
        package var failure: String?

        /// Creates the facts about a data set.
        package init(
            specification: String, fingerprint: String?, byteCount: Int?, failure: String? = nil
        ) {
            self.specification = specification
            self.fingerprint = fingerprint
            self.byteCount = byteCount
            self.failure = failure
        }
    }

    /// The format's version of this report.
    package var version = Self.currentVersion
    /// The host's own name.
    package var hostName: String
    /// The build of the executable; see `HostFacts.build`.
    package var build: String
    /// The number of processor cores that are online.
    package var coreCount: Int
    /// The size of the memory, in bytes.
    package var memoryByteCount: Int
    /// The memory that is available to new processes, in bytes.
    package var availableByteCount: Int
    /// The names of the compute backends in this build.
    package var backends: [String]
    /// The name of the processor's instruction set.
    package var instructionSet: String
    /// The time when the report was begun, in seconds since 1970 by this host's clock.
    package var begunAt: Double
    /// The time when the report was ended, in seconds since 1970 by this host's clock.
    package var endedAt: Double
    /// The entropy that the kernel has available, in bits; nil when the kernel does not say.
    package var entropyBits: Int?
    /// The addresses of the interfaces that are up.
    package var interfaces: [Interface]
    /// The results of resolving names.
    package var lookups: [Lookup]
    /// The results of listening at addresses and ports.
    package var binds: [Probe]
    /// The results of connecting to other hosts.
    package var connections: [Probe]
    /// The directory; nil when none was inspected.
    package var directory: Directory?
    /// The data set; nil when none was looked for.
    package var data: Data?

    /// Creates a report.
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

/// The reason why listening at a port or connecting to one failed.
package enum NetworkTrouble: Hashable, Codable, Sendable, CustomStringConvertible {
    /// The name does not resolve.
    case unresolved
    /// No interface has this address.
    case addressNotHere
    /// Another process listens at the port.
    case portInUse
    /// The system does not permit it.
    case noPermission
    /// There is no route to the host or network.
    case noRoute
    /// The other host answers that no process listens at the port.
    case refused
    /// There is no answer at all: something on the way drops the packets.
    case noAnswer
    /// Any other trouble, in the system's words.
    case other(String)

    /// The trouble in words.
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
    /// The report in one line for people.
    package var summary: String {
        let disk = directory.map {
            ", \(NumberText.grouped($0.freeByteCount >> 20)) MiB of disk free"
        }
        return TextTable.printable(
            "\(hostName), \(coreCount) cores, \(NumberText.grouped(memoryByteCount >> 20)) MiB, "
                + "\(instructionSet)\(disk ?? "")")
    }

    /// The addresses that other hosts may reach, and the first lookup's result, for people.
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
    /// The report in one line for people; nil without a report.
    package var summary: String? {
        report.map { "ok       \(host.name): \($0.summary), build \($0.build)" }
    }
}
