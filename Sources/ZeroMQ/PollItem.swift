import CZeroMQ

/// One thing that a `PollSet` waits for: a copyable reference to a socket, a monitor or a file
/// descriptor.
///
/// Threading: a socket's item belongs to the socket's thread. It must not be waited for after the
/// socket is closed. A file descriptor must stay open while it is waited for.
public struct PollItem {
    /// The states to wait for, and the states that were found.
    public struct Interest: OptionSet, Sendable, Hashable {
        /// The flags as libzmq's poll flags.
        public let rawValue: Int16
        /// Creates a set of states from libzmq's poll flags.
        public init(rawValue: Int16) { self.rawValue = rawValue }

        /// There is a message or a byte to read.
        public static let readable = Interest(rawValue: Int16(ZMQ_POLLIN))
        /// A message or a byte can be written without waiting.
        public static let writable = Interest(rawValue: Int16(ZMQ_POLLOUT))
        /// An error or the end of the connection; found only for file descriptors.
        public static let failed = Interest(rawValue: Int16(ZMQ_POLLERR))
    }

    enum Target {
        case socket(SocketHandle)
        case fileDescriptor(Int32)
    }

    let target: Target
    /// The states to wait for.
    public let interest: Interest

    init(_ handle: SocketHandle, interest: Interest) {
        target = .socket(handle)
        self.interest = interest
    }

    /// Creates an item for a file descriptor, such as one of a pipe or of another library's socket.
    public init(fileDescriptor: Int32, interest: Interest = .readable) {
        target = .fileDescriptor(fileDescriptor)
        self.interest = interest
    }
}
