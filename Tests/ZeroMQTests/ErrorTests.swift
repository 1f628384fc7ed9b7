import Glibc
import Testing
import ZeroMQ

@Suite struct ErrorTests {
    private func error(_ body: () throws -> Void) throws -> ZeroMQError {
        do { try body() } catch { return try #require(error as? ZeroMQError) }
        throw TestTrouble("no error was thrown")
    }

    @Test func aBindConflictSaysWhatWhereWhyAndWhatToDo() throws {
        let context = try Context()
        let first = try Socket(context, .router)
        let endpoint = try first.bind("tcp://127.0.0.1:*")
        let second = try Socket(context, .router)
        let error = try error { _ = try second.bind(endpoint) }
        #expect(error.code == .addressInUse)
        #expect(error.operation == "bind")
        #expect(error.endpoint == endpoint)
        #expect(error.number == EADDRINUSE)
        #expect(
            "\(error)" == "cannot bind \(endpoint): address already in use (EADDRINUSE); "
                + "choose another port (* lets the system pick one) or stop its present owner")
    }

    @Test(arguments: [
        ("gopher://x", ZeroMQError.Code.protocolNotSupported),
        ("nonsense", .invalidArgument),
        ("tcp://127.0.0.1:99999", .invalidArgument),
        ("tcp://192.0.2.1:5555", .addressNotAvailable),
        ("ipc:///" + String(repeating: "long", count: 100), .nameTooLong),
    ])
    func badEndpointsAreRefused(_ endpoint: String, _ code: ZeroMQError.Code) throws {
        let context = try Context()
        let socket = try Socket(context, .router)
        let error = try error { _ = try socket.bind(endpoint) }
        #expect(error.code == code, "\(error)")
        #expect("\(error)".contains(endpoint))
    }

    @Test func portsBeyondSixteenBitsAreRefusedByConnectToo() throws {
        let context = try Context()
        let socket = try Socket(context, .dealer)
        let error = try error { try socket.connect("tcp://127.0.0.1:65536") }
        #expect(error.code == .invalidArgument)
        try socket.connect("tcp://127.0.0.1:65535")
    }

    @Test func unknownEndpointsCannotBeLeft() throws {
        let context = try Context()
        let socket = try Socket(context, .dealer)
        #expect(try error { try socket.unbind("tcp://127.0.0.1:1") }.code == .notFound)
        #expect(try error { try socket.disconnect("tcp://127.0.0.1:1") }.code == .notFound)
    }

    @Test func badOptionsAreNamed() throws {
        let context = try Context()
        var options = SocketOptions()
        options.routingIdentity = []
        let empty = try error { _ = try Socket(context, .dealer, options: options) }
        #expect(empty.code == .invalidArgument)
        #expect("\(empty)".contains("routingIdentity of a dealer socket"))
        options = SocketOptions()
        options.sendHighWaterMark = -1
        let negative = try error { _ = try Socket(context, .push, options: options) }
        #expect("\(negative)".contains("sendHighWaterMark of a push socket"))
        options = SocketOptions()
        options.subscriptions = [[]]
        let misplaced = try error { _ = try Socket(context, .push, options: options) }
        #expect("\(misplaced)".contains("subscriptions"))
    }

    @Test func everyOptionIsTaken() throws {
        let context = try Context()
        var options = SocketOptions()
        options.linger = .milliseconds(5)
        options.routingIdentity = [1, 2, 3]
        options.routerHandover = true
        options.maximumMessageByteCount = 1 << 40
        options.handshakeTimeout = .zero
        options.heartbeatInterval = .seconds(1)
        options.heartbeatTimeout = .seconds(3)
        options.heartbeatTimeToLive = .milliseconds(50)
        options.reconnectInterval = nil
        options.reconnectMaximum = .seconds(1)
        options.connectTimeout = .seconds(days: 400)
        options.immediate = true
        options.ipv6 = true
        options.tcpKeepAlive = .on(idle: .seconds(30), interval: .milliseconds(1), count: 3)
        options.tcpRetransmitTimeout = .seconds(5)
        options.backlog = 7
        options.sendBufferByteCount = 65_536
        options.receiveBufferByteCount = 65_536
        options.zapDomain = "convoy"
        for kind in SocketKind.allCases { try Socket(context, kind, options: options).close() }
        options.heartbeatTimeToLive = .seconds(days: 400)
        options.tcpKeepAlive = .off
        try Socket(context, .router, options: options).close()
    }

    @Test func operationsThatAKindLacksAreRefused() throws {
        let context = try Context()
        let push = try Socket(context, .push)
        #expect(try error { _ = try push.receive() }.code == .notSupported)
        let rep = try Socket(context, .rep)
        #expect(try error { _ = try rep.send([Frame("x")]) }.code == .wrongSocketState)
    }

    @Test func numbersBecomeCodes() {
        let known: [(Int32, ZeroMQError.Code)] = [
            (EAGAIN, .wouldBlock), (EINTR, .interrupted), (EMFILE, .tooManyOpen),
            (EHOSTUNREACH, .hostUnreachable), (EACCES, .accessDenied),
        ]
        for (number, code) in known {
            #expect(ZeroMQError(number: number, operation: "try").code == code)
        }
        let other = ZeroMQError(number: EXDEV, operation: "try")
        #expect(other.code == .other)
        #expect("\(other)".hasPrefix("cannot try: ") && "\(other)".contains("\(EXDEV)"))
    }
}

extension Duration {
    fileprivate static func seconds(days: Int) -> Duration { .seconds(days * 86_400) }
}
