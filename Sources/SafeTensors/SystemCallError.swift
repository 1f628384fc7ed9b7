import Glibc

/// A call of the operating system that failed for a file.
package struct SystemCallError: Error, CustomStringConvertible {
    package let path: String
    /// The attempted action as a verb: "open", "read", "write".
    package let action: String
    /// The system's reason, for instance "No space left on device (errno 28)".
    package let reason: String

    /// Creates an error with a given reason.
    package init(path: String, action: String, reason: String) {
        self.path = path
        self.action = action
        self.reason = reason
    }

    /// Creates an error with the reason in `errno`. It must be created right after the failed call.
    package init(path: String, action: String) {
        let code = errno
        self.init(
            path: path, action: action, reason: "\(String(cString: strerror(code))) (errno \(code))"
        )
    }

    /// One line of text: path, action and reason.
    package var description: String { "\(path): cannot \(action): \(reason)" }
}
