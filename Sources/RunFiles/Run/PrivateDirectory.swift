import Glibc

/// Whether a directory is one user's alone: what lies in it can be believed, and stays secret.
package enum PrivateDirectory {
    package enum State: Equatable {
        case missing
        case good
        /// What was found instead.
        case wrong(String)
    }

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
