import CZeroMQ

/// One thing a `PollSet` waits for: a copyable token of a socket, a monitor or a file descriptor.
///
/// Threading: a socket's token belongs to the socket's thread and must not be waited for after the
/// socket is closed. A file descriptor must stay open while it is waited for.
public struct PollItem {
    /// What to wait for, and what was found.
    public struct Interest: OptionSet, Sendable, Hashable {
        public let rawValue: Int16
        public init(rawValue: Int16) { self.rawValue = rawValue }

        public static let readable = Interest(rawValue: Int16(ZMQ_POLLIN))
        public static let writable = Interest(rawValue: Int16(ZMQ_POLLOUT))
        /// Found at file descriptors alone: an error or the end of the connection.
        public static let failed = Interest(rawValue: Int16(ZMQ_POLLERR))
    }

    enum Target {
        case socket(SocketHandle)
        case fileDescriptor(Int32)
    }

    let target: Target
    public let interest: Interest

    init(_ handle: SocketHandle, interest: Interest) {
        target = .socket(handle)
        self.interest = interest
    }

    /// A file descriptor, such as one of a pipe or of a foreign socket.
    public init(fileDescriptor: Int32, interest: Interest = .readable) {
        target = .fileDescriptor(fileDescriptor)
        self.interest = interest
    }
}
