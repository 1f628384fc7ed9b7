import Glibc

/// A call to the operating system that failed on a file.
package struct SystemCallError: Error, CustomStringConvertible {
    package let path: String
    /// What was tried, as a verb: "open", "read", "write".
    package let action: String
    /// The system's reason, for instance "No space left on device (errno 28)".
    package let reason: String

    package init(path: String, action: String, reason: String) {
        self.path = path
        self.action = action
        self.reason = reason
    }

    /// Takes the reason from `errno`, so it has to be made right after the call.
    package init(path: String, action: String) {
        let code = errno
        self.init(
            path: path, action: action, reason: "\(String(cString: strerror(code))) (errno \(code))"
        )
    }

    package var description: String { "\(path): cannot \(action): \(reason)" }
}
