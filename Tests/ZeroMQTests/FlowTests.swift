import Testing
import ZeroMQ

@Suite struct FlowTests {
    @Test func sendsWouldBlockAtTheHighWaterMarkAndGoOnAfterwards() throws {
        let context = try Context()
        var options = SocketOptions()
        options.sendHighWaterMark = 3
        options.receiveHighWaterMark = 2
        let sockets = try ConnectedSockets(
            context, .inproc, bound: .pull, connected: .push, boundOptions: options,
            connectedOptions: options)
        var sentCount = 0
        while try sockets.connected.send([Frame("a"), Frame("b"), Frame("c")]) == .sent {
            sentCount += 1
            if sentCount > 100 { break }
        }
        // Over inproc the high-water marks of both sides add up.
        #expect(sentCount == 5)
        #expect(try sockets.connected.send([Frame("x")], within: .milliseconds(30)) == .wouldBlock)
        for _ in 0..<sentCount {
            let received = try sockets.bound.receive(within: limit)
            #expect(received?.map(\.text) == ["a", "b", "c"])
        }
        #expect(try sockets.bound.receive() == nil)
        #expect(try sockets.connected.send([Frame("x")], within: limit) == .sent)
    }

    @Test func aSocketWithoutPeersWouldBlock() throws {
        let context = try Context()
        for kind in [SocketKind.dealer, .push, .pair, .req] {
            let socket = try Socket(context, kind)
            _ = try socket.bind(Transport.inproc.endpoint)
            #expect(try socket.send([Frame("x"), Frame("y")]) == .wouldBlock, "\(kind)")
        }
    }

    @Test(arguments: Transport.allCases)
    func unknownIdentitiesAreUnreachable(_ transport: Transport) throws {
        let context = try Context()
        var options = SocketOptions()
        options.routingIdentity = Array("peer".utf8)
        let sockets = try ConnectedSockets(
            context, transport, bound: .router, connected: .dealer, connectedOptions: options)
        #expect(try sockets.bound.send([Frame("nobody"), Frame("x")]) == .unreachable)
        #expect(
            try eventually {
                try sockets.bound.send([Frame("peer"), Frame("x"), Frame("y")]) == .sent
            })
        #expect(try sockets.connected.receive(within: limit)?.map(\.text) == ["x", "y"])
    }

    @Test func aPeerThatLeftBecomesUnreachable() throws {
        let context = try Context()
        let router = try Socket(context, .router)
        let endpoint = try router.bind(Transport.tcp.endpoint)
        let dealer = try Socket(context, .dealer)
        try dealer.connect(endpoint)
        #expect(try dealer.send([Frame("here")], within: limit) == .sent)
        let identity = try #require(try router.receive(within: limit))[0]
        dealer.close()
        #expect(try eventually { try router.send([identity, Frame("x")]) == .unreachable })
    }

    @Test func aRouterThatIsNotMandatoryDropsSilently() throws {
        let context = try Context()
        var options = SocketOptions()
        options.routerMandatory = false
        let router = try Socket(context, .router, options: options)
        #expect(SocketOptions().routerMandatory)
        #expect(try router.send([Frame("nobody"), Frame("x")]) == .sent)
    }

    @Test(arguments: [Transport.tcp, .ipc])
    func tooLargeMessagesDisconnectTheirSender(_ transport: Transport) throws {
        let context = try Context()
        let router = try Socket(
            context, .router, options: with(SocketOptions()) { $0.maximumMessageByteCount = 1000 })
        let endpoint = try router.bind(transport.endpoint)
        let monitor = try router.startMonitor()
        let dealer = try Socket(
            context, .dealer, options: with(SocketOptions()) { $0.reconnectInterval = nil })
        try dealer.connect(endpoint)
        #expect(try dealer.send([Frame(pattern(1000))], within: limit) == .sent)
        #expect(try router.receive(within: limit)?[1].byteCount == 1000)
        #expect(try dealer.send([Frame(pattern(1001))], within: limit) == .sent)
        #expect(event(of: monitor) { $0.kind == .disconnected } != nil)
        #expect(try router.receive() == nil)
    }

    @Test func aPeerThatBreaksOffMidwayLeavesNoTornMessage() throws {
        let context = try Context()
        let pull = try Socket(context, .pull)
        let endpoint = try pull.bind(Transport.tcp.endpoint)
        let parts = [pattern(10), pattern(300_000), pattern(20)]
        for round in 0..<30 {
            let push = try Socket(context, .push)
            try push.connect(endpoint)
            for _ in 0..<5 { _ = try push.send(parts.map { Frame($0) }, within: limit) }
            if round % 3 == 0 { usleepMilliseconds(3) }
            push.close()
        }
        var count = 0
        while let frames = try pull.receive(within: .milliseconds(200)) {
            #expect(frames.map(\.byteCount) == parts.map(\.count))
            count += 1
        }
        #expect(count <= 150)
    }

    private func with(
        _ options: SocketOptions, _ change: (inout SocketOptions) -> Void
    ) -> SocketOptions {
        var options = options
        change(&options)
        return options
    }
}
