import ClusterProtocol
import ClusterRuntime
import RunFiles

/// The file of the running executable.
enum Executable {
    /// Returns the path of the running executable.
    static func path() throws(Failure) -> String {
        guard let path = FileSystem.target(ofLink: "/proc/self/exe") else {
            throw .internalError("cannot find the running executable")
        }
        return path
    }
}
