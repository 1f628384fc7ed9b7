import ClusterProtocol
import ClusterRuntime
import RunFiles

/// The file of the running executable.
enum Executable {
    /// Returns the path of the running executable.
    static func path() throws(RunError) -> String {
        guard let path = FileSystem.target(ofLink: "/proc/self/exe") else {
            throw .fault("cannot find the running executable")
        }
        return path
    }
}
