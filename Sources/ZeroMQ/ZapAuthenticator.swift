/// Accepts CURVE clients of a context's servers by their public keys, and refuses all others.
///
/// It answers the requests of the ZeroMQ Authentication Protocol (RFC 27). Create it *before* the
/// server sockets bind, because libzmq accepts every client while no authenticator exists. A
/// context can have one authenticator. `Frame.authenticatedUser` gives the key of an accepted
/// client.
///
/// Threading: belongs to the thread that created it; the servers may be on other threads.
/// Handshakes wait for `handlePending()`, up to the servers' `handshakeTimeout`.
public final class ZapAuthenticator {
    /// A client that was refused.
    public struct Refusal: Sendable, Hashable {
        /// The reason why a client was refused.
        public enum Reason: Sendable, Hashable {
            /// The key is not on the allow-list.
            case unlistedKey
            /// The peer offers a mechanism other than CURVE, with this name.
            case otherMechanism(String)
            /// The request is malformed.
            case malformedRequest
        }

        /// The reason of the refusal.
        public let reason: Reason
        /// The client's public key in Z85; nil when it offered none.
        public let publicKey: String?
        /// The client's IP address as libzmq saw it; may be empty for a malformed request.
        public let address: String
        /// The `zapDomain` of the server socket; may be empty for a malformed request.
        public let domain: String
    }

    /// The largest number of requests that one call of `handlePending()` answers.
    public static let maximumCountPerCall = 64
    /// The endpoint that RFC 27 fixes for the handler.
    private static let endpoint = "inproc://zeromq.zap.01"

    private let socket: Socket
    private let onRefusal: (Refusal) -> Void
    private var allowedKeys: Set<[UInt8]> = []
    /// The number of requests that were accepted so far.
    public private(set) var allowedCount = 0
    /// The number of requests that were refused so far, including malformed ones.
    public private(set) var refusedCount = 0

    /// Creates an authenticator and binds it to the endpoint that the context's servers ask.
    ///
    /// - Parameters:
    ///   - context: the context of the servers.
    ///   - allowedPublicKeys: the allow-list, as Z85 text; an empty list accepts no client.
    ///   - onRefusal: called for every refused client, on the thread that calls `handlePending()`.
    /// - Throws: `.addressInUse` when the context already has an authenticator; `.malformed` for a
    ///   text that is not a key.
    public init(
        _ context: Context, allowedPublicKeys: [String],
        onRefusal: @escaping (Refusal) -> Void = { _ in }
    ) throws(ZeroMQError) {
        var options = SocketOptions()
        // A reply to a connection that is gone is dropped.
        options.routerMandatory = false
        options.sendHighWaterMark = 0
        options.receiveHighWaterMark = 0
        // The socket is a ROUTER rather than a REP, because a ROUTER stays usable whatever a
        // request looks like.
        socket = try Socket(context, .router, options: options)
        self.onRefusal = onRefusal
        for key in allowedPublicKeys { try allow(key) }
        _ = try socket.bind(ZapAuthenticator.endpoint)
    }

    /// Adds a public key to the allow-list.
    ///
    /// - Throws: `.malformed` for a text that is not a key.
    public func allow(_ publicKey: String) throws(ZeroMQError) {
        try Z85Key.validate(publicKey, "public")
        if let bytes = Z85Key.decode(publicKey) { allowedKeys.insert(bytes) }
    }

    /// Removes a public key from the allow-list. Existing connections remain.
    public func revoke(_ publicKey: String) {
        if let bytes = Z85Key.decode(publicKey) { allowedKeys.remove(bytes) }
    }

    /// The item with which a `PollSet` waits for a request to answer.
    public var pollItem: PollItem { socket.pollItem }

    /// Answers the requests that are waiting, up to `maximumCountPerCall`, without waiting for
    /// more.
    ///
    /// - Parameter prepare: called once before the first answer, and only if there is a request. It
    ///   can bring the allow-list up to date.
    public func handlePending(preparing prepare: () -> Void = {}) throws(ZeroMQError) {
        for number in 0..<ZapAuthenticator.maximumCountPerCall {
            guard let frames = try socket.handle.receiveUnlessQuiet() else { return }
            if number == 0 { prepare() }
            try answer(frames)
        }
    }

    /// Answers one request. Frames: identity, empty, version, request id, domain, address, routing
    /// id, mechanism, credentials.
    /// Source: RFC 27, "Details".
    private func answer(_ frames: [Frame]) throws(ZeroMQError) {
        guard frames.count >= 4, frames[1].byteCount == 0 else {
            return refuse(
                Refusal(
                    reason: .malformedRequest, publicKey: nil, address: "", domain: ""))
        }
        let judgement = judge(Array(frames[2...]))
        var reply = [frames[0], frames[1], Frame("1.0"), frames[3]]
        switch judgement {
        case .success(let userIdentity):
            allowedCount += 1
            reply += [Frame("200"), Frame("OK"), Frame(userIdentity), Frame("")]
        case .failure(let refusal):
            reply += [Frame("400"), Frame("Not allowed"), Frame(""), Frame("")]
            refuse(refusal.refusal)
        }
        _ = try socket.send(reply)
    }

    /// Counts and reports a refusal.
    private func refuse(_ refusal: Refusal) {
        refusedCount += 1
        onRefusal(refusal)
    }

    private struct Refused: Error { let refusal: Refusal }

    /// Decides about a request, given without identity and empty frame: the client's key, or a
    /// refusal.
    private func judge(_ request: [Frame]) -> Result<String, Refused> {
        guard request.count >= 6, request[0].text == "1.0" else {
            return .failure(
                Refused(
                    refusal: Refusal(
                        reason: .malformedRequest, publicKey: nil, address: "", domain: "")))
        }
        let domain = request[2].text ?? ""
        let address = request[3].text ?? ""
        let mechanism = request[5].text ?? ""
        func refused(_ reason: Refusal.Reason, _ key: String?) -> Result<String, Refused> {
            .failure(
                Refused(
                    refusal: Refusal(
                        reason: reason, publicKey: key, address: address, domain: domain)))
        }
        guard mechanism == "CURVE" else { return refused(.otherMechanism(mechanism), nil) }
        guard request.count == 7, let key = Z85Key.encode(request[6].bytes) else {
            return refused(.malformedRequest, nil)
        }
        guard allowedKeys.contains(request[6].bytes) else { return refused(.unlistedKey, key) }
        return .success(key)
    }
}
