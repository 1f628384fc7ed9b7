import Glibc

/// The names of the files in a keys directory.
package enum KeyFiles {
    /// The file with the secret key of a node.
    package static let secretName = "node.secret"
    /// The file with the public key of a node.
    package static let publicName = "node.public"
    /// The file with the public key of the coordinator.
    package static let coordinatorName = "coordinator.public"
    /// The subdirectory with the public keys of the processes that may connect.
    package static let allowedName = "allowed"

    /// Removes the keys that a run made for itself. Other files stay.
    ///
    /// A directory that other users can read or change is left as it is.
    package static func remove(_ path: String) {
        guard PrivateDirectory.state(path) == .good else { return }
        let allowed = "\(path)/\(allowedName)"
        if PrivateDirectory.state(allowed) == .good { FileSystem.remove(allowed) }
        for name in [secretName, publicName, coordinatorName] { unlink("\(path)/\(name)") }
        rmdir(path)
    }
}
