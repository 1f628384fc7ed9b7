import Backends
import Checksums
import ClusterProtocol
import FoundationEssentials
import Glibc
import NeuralNetwork

/// What a process tells the coordinator about itself and its host when it joins.
public enum HostFacts {
    /// The name of this host as the kernel has it, or "unknown".
    public static var hostName: String {
        var bytes = [CChar](repeating: 0, count: 256)
        guard gethostname(&bytes, bytes.count - 1) == 0 else { return "unknown" }
        return String(decoding: bytes.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// The first 16 hexadecimal digits of the SHA-256 of the running executable, or "unknown".
    ///
    /// Only equal builds compute equal bits.
    public static let build: String = {
        let path = "/proc/self/exe"
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "unknown" }
        defer { close(descriptor) }
        var hash = SHA256()
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            guard count > 0 else { break }
            hash.update(data: buffer[..<count])
        }
        return hexadecimal(hash.finalize()).prefix(16).description
    }()

    /// A key that is equal in two processes that can read each other's shared memory.
    ///
    /// It is derived from the boot of the kernel, the PID namespace and the user. It is 0 where one
    /// of these cannot be told.
    package static let sharingKey: UInt64 = {
        var target = [CChar](repeating: 0, count: 64)
        guard
            let boot = try? String(
                decoding: FileSystem.read("/proc/sys/kernel/random/boot_id"), as: UTF8.self),
            readlink("/proc/self/ns/pid", &target, target.count - 1) > 0
        else { return 0 }
        let space = target.prefix { $0 != 0 }.map(UInt8.init(bitPattern:))
        let digest = SHA256.hash(data: Array(boot.utf8) + space + Array("\(geteuid())".utf8))
        return digest.prefix(8).reduce(0) { $0 << 8 | UInt64($1) } | 2
    }()

    /// Returns the SHA-256 of bytes as 64 hexadecimal digits.
    package static func sha256(_ bytes: [UInt8]) -> String {
        hexadecimal(SHA256.hash(data: bytes))
    }

    /// The resident memory of this process in bytes, or nil where the kernel does not tell.
    package static var residentByteCount: Int? {
        guard let bytes = try? FileSystem.read("/proc/self/statm") else { return nil }
        let fields = String(decoding: bytes, as: UTF8.self).split(separator: " ")
        guard fields.count > 1, let pages = Int(fields[1]) else { return nil }
        return pages * sysconf(Int32(_SC_PAGESIZE))
    }

    /// The best instruction set that any backend of this build can use on this host.
    public static var instructionSet: String {
        Backends.available.contains(.oneDNN)
            ? Backends.hostInstructionSet(.oneDNN) : Backends.hostInstructionSet(.reference)
    }

    /// Returns the message with which this process joins a run.
    ///
    /// - Parameters:
    ///   - identity: the name of the process in the cluster.
    ///   - role: the role of the process.
    ///   - threadCount: the number of compute threads.
    ///   - bulkEndpoint: the endpoint of the shards of this process.
    ///   - publicKey: the public CURVE key of this process; nil without keys.
    ///   - label: the name that the launcher gave this process.
    public static func hello(
        identity: PeerIdentity, role: Role, threadCount: Int, bulkEndpoint: String?,
        publicKey: String?, label: String?
    ) -> Hello {
        Hello(
            identity: identity, role: role, host: hostName, processIdentifier: Int(getpid()),
            threadCount: threadCount, build: build,
            backends: Backends.available.map(\.rawValue), instructionSet: instructionSet,
            bulkEndpoint: bulkEndpoint, publicKey: publicKey, label: label)
    }
}
