import ClusterProtocol
import ClusterRuntime

#if canImport(Glibc)
    import Glibc
#endif

/// The executable that runs.
enum Executable {
    static func path() throws(Failure) -> String {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        guard count > 0 else { throw .internalError("cannot find the running executable") }
        return String(
            decoding: buffer[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
