import Glibc

/// The right of one run of this user to bind its workers to cores of this host.
///
/// Two runs that bind their workers would take the same cores and leave others idle. The claim is
/// the name of a socket that no process connects to, so it ends with the process, however the
/// process ends.
final class CoreClaim {
    private let descriptor: Int32

    /// Takes the claim. Returns nil while another run holds it.
    init?() {
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        // A name that begins with a zero byte is not in any file system; see unix(7).
        let name = [0] + Array("convoy-cores-\(geteuid())".utf8)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
        let byteCount = MemoryLayout<sa_family_t>.size + name.count
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(byteCount))
            }
        }
        guard result == 0 else { return nil }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }
}
