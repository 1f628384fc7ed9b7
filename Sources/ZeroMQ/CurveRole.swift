/// The role of a socket in a CURVE handshake (RFC 26). All keys are Z85 text of 40 characters.
public enum CurveRole: Sendable {
    /// The socket accepts clients. Without a `ZapAuthenticator` in the same context *every* client
    /// that knows the server's public key is let in: create the authenticator before this socket
    /// binds.
    case server(secretKey: String)
    /// The socket proves its identity to the server that holds the secret half of `serverKey`.
    case client(serverKey: String, keyPair: CurveKeyPair)
}
