import Testing
import ZeroMQ

@Suite struct CurveTests {
    @Test func keyPairsAreGeneratedAndValidated() throws {
        let pair = try CurveKeyPair.generate()
        #expect(pair.publicKey.count == 40 && pair.secretKey.count == 40)
        #expect(try CurveKeyPair.generate() != pair)
        #expect(try CurveKeyPair.publicKey(ofSecret: pair.secretKey) == pair.publicKey)
        #expect(
            try CurveKeyPair(publicKey: pair.publicKey, secretKey: pair.secretKey) == pair)
        let other = try CurveKeyPair.generate()
        let bad = [
            ("", pair.secretKey), (pair.publicKey, ""),
            (String(pair.publicKey.dropLast()), pair.secretKey),
            (pair.publicKey, String(pair.secretKey.dropLast()) + "\""),
            (pair.publicKey, String(repeating: "é", count: 20)),
            (pair.publicKey, other.secretKey),
            (pair.publicKey, String(repeating: "#", count: 40)),
        ]
        for (publicKey, secretKey) in bad {
            let error = #expect(throws: ZeroMQError.self) {
                _ = try CurveKeyPair(publicKey: publicKey, secretKey: secretKey)
            }
            #expect(error?.code == .malformed)
            if !secretKey.isEmpty { #expect(error.map { "\($0)".contains(secretKey) } == false) }
        }
    }

    @Test func theSecretKeyIsNotPrinted() throws {
        let pair = try CurveKeyPair.generate()
        var dumped = ""
        dump(pair, to: &dumped)
        for text in ["\(pair)", String(reflecting: pair), dumped, "\([pair])"] {
            #expect(!text.contains(pair.secretKey))
            #expect(text.contains(pair.publicKey))
        }
    }

    /// A server, its authenticator, and the loop that serves both.
    private final class Server {
        let keys: CurveKeyPair
        let authenticator: ZapAuthenticator
        let socket: SocketBox
        let monitor: SocketMonitor
        let endpoint: String
        private var pollSet: PollSet
        var messages: [[Frame]] = []
        var events: [SocketEvent.Kind] = []

        init(
            _ context: Context, allowed: [String],
            onRefusal: @escaping (ZapAuthenticator.Refusal) -> Void
        ) throws {
            keys = try CurveKeyPair.generate()
            authenticator = try ZapAuthenticator(
                context, allowedPublicKeys: allowed, onRefusal: onRefusal)
            var options = SocketOptions()
            options.curve = .server(secretKey: keys.secretKey)
            options.zapDomain = "convoy"
            socket = try SocketBox(context, .router, options: options)
            monitor = try socket.startMonitor()
            endpoint = try socket.bind(Transport.tcp.endpoint)
            pollSet = try PollSet()
        }

        func run(until condition: () -> Bool) throws -> Bool {
            let deadline = ContinuousClock.now + limit
            while ContinuousClock.now < deadline {
                if condition() { return true }
                let items = [authenticator.pollItem, socket.pollItem, monitor.pollItem]
                let result = try pollSet.wait(for: items, timeout: .milliseconds(50))
                if result.isReady(0) { try authenticator.handlePending() }
                while let frames = try socket.receive() { messages.append(frames) }
                while let event = monitor.nextEvent() { events.append(event.kind) }
            }
            return false
        }
    }

    private func client(
        _ context: Context, of server: Server, _ keyPair: CurveKeyPair?, serverKey: String? = nil
    ) throws -> SocketBox {
        var options = SocketOptions()
        options.curve = keyPair.map {
            .client(serverKey: serverKey ?? server.keys.publicKey, keyPair: $0)
        }
        options.reconnectInterval = .seconds(5)
        let client = try SocketBox(context, .dealer, options: options)
        try client.connect(server.endpoint)
        #expect(try client.send([Frame("secret")]) == .sent)
        return client
    }

    @Test func listedKeysPassAndAllOthersAreRefused() throws {
        // Clients have their own context, as in other processes.
        let context = try Context()
        let clients = try Context()
        let allowed = try CurveKeyPair.generate()
        let unlisted = try CurveKeyPair.generate()
        var refusals: [ZapAuthenticator.Refusal] = []
        let server = try Server(context, allowed: [allowed.publicKey]) { refusals.append($0) }

        let good = try client(clients, of: server, allowed)
        #expect(try server.run { server.messages.count == 1 })
        let message = try #require(server.messages.first)
        #expect(message[1].text == "secret")
        #expect(message[1].authenticatedUser == allowed.publicKey)
        #expect(try server.socket.send([message[0], Frame("answer")]) == .sent)
        #expect(try good.receive(within: limit)?.first?.text == "answer")

        let stranger = try client(clients, of: server, unlisted)
        #expect(try server.run { !refusals.isEmpty })
        let refusal = try #require(refusals.first)
        #expect(refusal.reason == .unlistedKey)
        #expect(refusal.publicKey == unlisted.publicKey)
        #expect(refusal.address == "127.0.0.1")
        #expect(refusal.domain == "convoy")
        #expect(
            try server.run { server.events.contains(.handshakeFailed(.refused(status: 400))) })

        server.events.removeAll()
        let plain = try client(clients, of: server, nil)
        // The side that reads the other's greeting first hangs up.
        #expect(try server.run { server.events.contains(where: isHandshakeFailure) })
        server.events.removeAll()

        let wrongServer = try client(clients, of: server, allowed, serverKey: unlisted.publicKey)
        #expect(try server.run { server.events.contains(where: isHandshakeFailure) })

        #expect(server.messages.count == 1)
        #expect(server.authenticator.allowedCount == 1)
        #expect(server.authenticator.refusedCount == refusals.count)
        // The listed client goes on undisturbed.
        #expect(try good.send([Frame("more")]) == .sent)
        #expect(try server.run { server.messages.count == 2 })
        for socket in [stranger, plain, wrongServer] { #expect(try socket.receive() == nil) }
    }

    private func isHandshakeFailure(_ kind: SocketEvent.Kind) -> Bool {
        if case .handshakeFailed = kind { return true }
        return false
    }

    @Test func keysCanBeAllowedAndRevokedLater() throws {
        let context = try Context()
        let keys = try CurveKeyPair.generate()
        var refusals: [ZapAuthenticator.Refusal] = []
        let server = try Server(context, allowed: []) { refusals.append($0) }
        let early = try client(context, of: server, keys)
        #expect(try server.run { refusals.count == 1 })
        early.close()
        try server.authenticator.allow(keys.publicKey)
        let later = try client(context, of: server, keys)
        #expect(try server.run { server.messages.count == 1 })
        later.close()
        server.authenticator.revoke(keys.publicKey)
        let last = try client(context, of: server, keys)
        #expect(try server.run { refusals.count == 2 })
        last.close()
    }

    @Test func aContextHasOneAuthenticatorAndItsKeysAreValid() throws {
        let context = try Context()
        let first = try ZapAuthenticator(context, allowedPublicKeys: [])
        let second = #expect(throws: ZeroMQError.self) {
            _ = try ZapAuthenticator(context, allowedPublicKeys: [])
        }
        #expect(second?.code == .addressInUse)
        let malformed = #expect(throws: ZeroMQError.self) { try first.allow("short") }
        #expect(malformed?.code == .malformed)
    }

    @Test func malformedRequestsAreRefusedAndHarmless() throws {
        let context = try Context()
        var refusals: [ZapAuthenticator.Refusal] = []
        let authenticator = try ZapAuthenticator(context, allowedPublicKeys: []) {
            refusals.append($0)
        }
        let request = try Socket(context, .dealer)
        try request.connect("inproc://zeromq.zap.01")
        let curve = ["", "1.0", "7", "convoy", "10.0.0.1", "id", "CURVE"]
        let requests = [
            ["x"], ["", "1.0"], ["", "2.0", "7", "", "", "", "CURVE", "key"],
            curve, curve + ["short"], ["", "1.0", "7", "", "", "", "PLAIN", "user", "password"],
        ]
        for texts in requests {
            #expect(try request.send(texts.map { Frame($0) }, within: limit) == .sent)
        }
        #expect(
            try eventually {
                try authenticator.handlePending()
                return refusals.count == 6
            })
        #expect(refusals.last?.reason == .otherMechanism("PLAIN"))
        #expect(authenticator.refusedCount == 6 && authenticator.allowedCount == 0)
        var answerCount = 0
        while let answer = try request.receive(within: .milliseconds(100)) {
            #expect(answer.map(\.text)[1...3] == ["1.0", "7", "400"] as ArraySlice)
            answerCount += 1
        }
        #expect(answerCount == 4)
    }
}
