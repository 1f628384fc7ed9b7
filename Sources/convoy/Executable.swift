import ClusterProtocol
import ClusterRuntime
import RunFiles

/// The executable that runs.
enum Executable {
    static func path() throws(Failure) -> String {
        guard let path = FileSystem.target(ofLink: "/proc/self/exe") else {
            throw .internalError("cannot find the running executable")
        }
        return path
    }
}
