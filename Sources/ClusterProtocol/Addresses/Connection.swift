/// What the coordinator's own sockets know of the sender of a message.
public struct Connection: Hashable, Sendable {
    public var isFromThisHost: Bool
    /// The public key the sender has proven to hold; nil without CURVE.
    public var publicKey: String?

    public init(isFromThisHost: Bool = true, publicKey: String? = nil) {
        self.isFromThisHost = isFromThisHost
        self.publicKey = publicKey
    }
}
