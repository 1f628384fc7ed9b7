import Glibc

/// Checks that a directory belongs to one user and that no other user can read or change it.
///
/// The content of such a directory can be trusted and stays secret.
package enum PrivateDirectory {
    /// The result of the check.
    package enum State: Equatable {
        /// The path does not exist.
        case missing
        /// The path is a directory of the user, without permissions for anyone else.
        case good
        /// The path is something else, which the text describes.
        case wrong(String)
    }

    /// Checks the directory at `path`. Symbolic links are not followed.
    package static func state(_ path: String, user: uid_t = geteuid()) -> State {
        var status = stat()
        guard lstat(path, &status) == 0 else {
            return errno == ENOENT ? .missing : .wrong(String(cString: strerror(errno)))
        }
        switch status.st_mode & S_IFMT {
        case S_IFDIR: break
        case S_IFLNK: return .wrong("a link")
        default: return .wrong("no directory")
        }
        guard status.st_uid == user else { return .wrong("a directory of user \(status.st_uid)") }
        guard status.st_mode & 0o077 == 0 else {
            return .wrong("one with mode \(String(status.st_mode & 0o7777, radix: 8))")
        }
        return .good
    }
}
