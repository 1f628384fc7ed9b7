import Glibc

/// The files of a keys directory.
package enum KeyFiles {
    package static let secretName = "node.secret"
    package static let publicName = "node.public"
    package static let coordinatorName = "coordinator.public"
    /// The directory of the public keys that are let in.
    package static let allowedName = "allowed"

    /// Removes keys that a run has made; other files stay.
    package static func remove(_ path: String) {
        guard PrivateDirectory.state(path) == .good else { return }
        let allowed = "\(path)/\(allowedName)"
        if PrivateDirectory.state(allowed) == .good { FileSystem.remove(allowed) }
        for name in [secretName, publicName, coordinatorName] { unlink("\(path)/\(name)") }
        rmdir(path)
    }
}
