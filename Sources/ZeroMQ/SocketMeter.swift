import Synchronization

/// Counts the bytes of the messages that go through sockets: all frames but routing identities,
/// without what the transport adds to them.
///
/// Threading: any number of sockets, each on its thread, may share one.
public final class SocketMeter: Sendable {
    /// A sum that only grows.
    public final class Count: Sendable {
        private let total = Atomic(0)

        public init() {}

        /// Adds what went another way and counts all the same.
        public func add(_ count: Int) { total.add(count, ordering: .relaxed) }

        public var value: Int { total.load(ordering: .relaxed) }
    }

    /// Bytes handed to libzmq, and taken from it.
    public let sent = Count()
    public let received = Count()
    private let isRouter: Bool
    private let ignoredIdentity: [UInt8]

    /// - Parameters:
    ///   - isRouter: the first frame of each message is a routing identity.
    ///   - ignoredIdentity: of the peer of a ROUTER whose messages do not count.
    public init(isRouter: Bool = false, ignoring ignoredIdentity: [UInt8] = []) {
        self.isRouter = isRouter
        self.ignoredIdentity = ignoredIdentity
    }

    func byteCount(of frames: [Frame]) -> Int {
        guard isRouter, let first = frames.first else {
            return frames.reduce(0) { $0 + $1.byteCount }
        }
        let isIgnored = first.withUnsafeBytes { $0.elementsEqual(ignoredIdentity) }
        return isIgnored ? 0 : frames.dropFirst().reduce(0) { $0 + $1.byteCount }
    }
}
