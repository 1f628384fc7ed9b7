/// What the coordinator's sockets know about the sender of a message.
public struct Connection: Hashable, Sendable {
    /// Whether the sender runs on the coordinator's host.
    public var isFromThisHost: Bool
    /// The public CURVE key that the sender has proven to hold; nil without CURVE.
    public var publicKey: String?

    /// Creates the description of a connection.
    public init(isFromThisHost: Bool = true, publicKey: String? = nil) {
        self.isFromThisHost = isFromThisHost
        self.publicKey = publicKey
    }
}
