import Synchronization

/// Counts the bytes of the messages that sockets send and receive: all frames except routing
/// identities, without the bytes that the transport adds.
///
/// Threading: any number of sockets, each on its own thread, may share one meter.
public final class SocketMeter: Sendable {
    /// A sum that only grows.
    public final class Count: Sendable {
        private let total = Atomic(0)

        /// Creates a sum of 0.
        public init() {}

        /// Adds bytes, also those that took another way than a socket and must be counted.
        public func add(_ count: Int) { total.add(count, ordering: .relaxed) }

        /// The sum so far.
        public var value: Int { total.load(ordering: .relaxed) }
    }

    /// The number of bytes handed to libzmq.
    public let sent = Count()
    /// The number of bytes taken from libzmq.
    public let received = Count()
    private let isRouter: Bool
    private let ignoredIdentity: [UInt8]

    /// Creates a meter.
    ///
    /// - Parameters:
    ///   - isRouter: whether the first frame of each message is a routing identity.
    ///   - ignoredIdentity: the identity of one peer of a ROUTER whose messages are not counted.
    public init(isRouter: Bool = false, ignoring ignoredIdentity: [UInt8] = []) {
        self.isRouter = isRouter
        self.ignoredIdentity = ignoredIdentity
    }

    /// Returns the number of bytes to count for a message.
    func byteCount(of frames: [Frame]) -> Int {
        guard isRouter, let first = frames.first else {
            return frames.reduce(0) { $0 + $1.byteCount }
        }
        let isIgnored = first.withUnsafeBytes { $0.elementsEqual(ignoredIdentity) }
        return isIgnored ? 0 : frames.dropFirst().reduce(0) { $0 + $1.byteCount }
    }
}
