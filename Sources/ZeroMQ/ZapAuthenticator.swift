/// Lets CURVE clients of a context's servers in by their public keys, and no one else.
///
/// Answers the requests of the ZeroMQ Authentication Protocol (RFC 27). Create it *before* the
/// server sockets bind: libzmq lets every client in while no authenticator exists. There can be one
/// in a context. A client it lets in is named by its key in `Frame.authenticatedUser`.
///
/// Threading: belongs to the thread that created it; the servers may be on others. Handshakes wait
/// for `handlePending()`, up to the servers' `handshakeTimeout`.
public final class ZapAuthenticator {
    /// A client that was refused.
    public struct Refusal: Sendable, Hashable {
        public enum Reason: Sendable, Hashable {
            /// The key is not on the allow-list.
            case unlistedKey
            /// The peer offers another mechanism than CURVE, by its name.
            case otherMechanism(String)
            /// The request is malformed.
            case malformedRequest
        }

        public let reason: Reason
        /// The client's public key, in Z85; nil when it offered none.
        public let publicKey: String?
        /// The client's IP address, as libzmq saw it.
        public let address: String
        /// The `zapDomain` of the server socket.
        public let domain: String
    }

    /// Requests answered by one call of `handlePending()` at most.
    public static let maximumCountPerCall = 64
    private static let endpoint = "inproc://zeromq.zap.01"

    private let socket: Socket
    private let onRefusal: (Refusal) -> Void
    private var allowedKeys: Set<[UInt8]> = []
    public private(set) var allowedCount = 0
    public private(set) var refusedCount = 0

    /// - Parameters:
    ///   - allowedPublicKeys: Z85 text; an empty list lets no one in.
    ///   - onRefusal: called on this thread for every client that is refused.
    /// - Throws: `.addressInUse` when the context has an authenticator already; `.malformed` for a
    ///   key that is none.
    public init(
        _ context: Context, allowedPublicKeys: [String],
        onRefusal: @escaping (Refusal) -> Void = { _ in }
    ) throws(ZeroMQError) {
        var options = SocketOptions()
        // A request whose connection is gone has no one to answer to.
        options.routerMandatory = false
        options.sendHighWaterMark = 0
        options.receiveHighWaterMark = 0
        // ROUTER rather than REP: it stays usable whatever a request looks like.
        socket = try Socket(context, .router, options: options)
        self.onRefusal = onRefusal
        for key in allowedPublicKeys { try allow(key) }
        _ = try socket.bind(ZapAuthenticator.endpoint)
    }

    /// Adds a public key to the allow-list.
    public func allow(_ publicKey: String) throws(ZeroMQError) {
        try Z85Key.validate(publicKey, "public")
        if let bytes = Z85Key.decode(publicKey) { allowedKeys.insert(bytes) }
    }

    /// Takes a public key off the allow-list. Connections that exist remain.
    public func revoke(_ publicKey: String) {
        if let bytes = Z85Key.decode(publicKey) { allowedKeys.remove(bytes) }
    }

    /// What a `PollSet` waits for: a request to answer.
    public var pollItem: PollItem { socket.pollItem }

    /// Answers the requests that wait, without waiting for more.
    ///
    /// - Parameter prepare: called once before the first answer, if there is a request at all: the
    ///   moment to bring the allow-list up to date.
    public func handlePending(preparing prepare: () -> Void = {}) throws(ZeroMQError) {
        for number in 0..<ZapAuthenticator.maximumCountPerCall {
            guard let frames = try socket.handle.receiveUnlessQuiet() else { return }
            if number == 0 { prepare() }
            try answer(frames)
        }
    }

    /// Frames: identity, empty, version, request id, domain, address, routing id, mechanism,
    /// credentials. Source: RFC 27, "Details".
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

    private func refuse(_ refusal: Refusal) {
        refusedCount += 1
        onRefusal(refusal)
    }

    private struct Refused: Error { let refusal: Refusal }

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
