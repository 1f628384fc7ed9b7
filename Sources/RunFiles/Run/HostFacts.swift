import Checksums
import ClusterProtocol
import FoundationEssentials
import Glibc
import NeuralNetwork

/// What a process says of itself and its host when it joins.
public enum HostFacts {
    public static var hostName: String {
        var bytes = [CChar](repeating: 0, count: 256)
        guard gethostname(&bytes, bytes.count - 1) == 0 else { return "unknown" }
        return String(decoding: bytes.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// SHA-256 of the running executable, its first 16 digits: only equal builds compute equal bits.
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

    /// Equal in processes that can read one another's shared memory: same boot of the same kernel,
    /// same process numbers, same user. 0 where that cannot be told.
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

    package static func sha256(_ bytes: [UInt8]) -> String {
        hexadecimal(SHA256.hash(data: bytes))
    }

    /// Memory this process has resident now; nil where the kernel does not say.
    package static var residentByteCount: Int? {
        guard let bytes = try? FileSystem.read("/proc/self/statm") else { return nil }
        let fields = String(decoding: bytes, as: UTF8.self).split(separator: " ")
        guard fields.count > 1, let pages = Int(fields[1]) else { return nil }
        return pages * sysconf(Int32(_SC_PAGESIZE))
    }

    /// The best instruction set of any backend that this build has here.
    public static var instructionSet: String {
        Backends.available.contains(.oneDNN)
            ? Backends.hostInstructionSet(.oneDNN) : Backends.hostInstructionSet(.reference)
    }

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
