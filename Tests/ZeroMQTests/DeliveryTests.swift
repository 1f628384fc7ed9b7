import Testing
import ZeroMQ

@Suite struct DeliveryTests {
    @Test(arguments: Transport.allCases, [0, 1, 33, 34, 255, 256, 8192, 65_536, 1_048_576])
    func everySizeArrivesUnchanged(_ transport: Transport, _ byteCount: Int) throws {
        let context = try Context()
        let sockets = try ConnectedSockets(context, transport, bound: .pull, connected: .push)
        let bytes = pattern(byteCount)
        #expect(try sockets.connected.send([Frame(bytes)], within: limit) == .sent)
        let received = try #require(try sockets.bound.receive(within: limit))
        #expect(received.count == 1)
        #expect(received[0].byteCount == byteCount)
        #expect(received[0].bytes == bytes)
        #expect(try sockets.bound.receive() == nil)
    }

    @Test(arguments: [Transport.inproc, .tcp])
    func hundredMegabytesArriveUnchanged(_ transport: Transport) throws {
        let context = try Context()
        let sockets = try ConnectedSockets(context, transport, bound: .pull, connected: .push)
        let bytes = pattern(100_000_000)
        #expect(try sockets.connected.send([Frame(bytes)], within: limit) == .sent)
        let received = try #require(try sockets.bound.receive(within: .seconds(60)))
        #expect(received[0].withUnsafeBytes { $0.elementsEqual(bytes) })
    }

    @Test(arguments: Transport.allCases)
    func multipartMessagesKeepTheirBorders(_ transport: Transport) throws {
        let context = try Context()
        let sockets = try ConnectedSockets(context, transport, bound: .pull, connected: .push)
        let parts = [[], pattern(3), [], pattern(70_000), [7]]
        for _ in 0..<20 {
            let frames = parts.map { Frame($0) }
            #expect(try sockets.connected.send(frames, within: limit) == .sent)
        }
        for _ in 0..<20 {
            let received = try #require(try sockets.bound.receive(within: limit))
            #expect(received.map(\.bytes) == parts)
        }
        #expect(try sockets.bound.receive() == nil)
    }

    @Test func sixteenPartsPassAndSeventeenAreDroppedAndCounted() throws {
        let context = try Context()
        let sockets = try ConnectedSockets(context, .inproc, bound: .pull, connected: .push)
        func message(_ count: Int) -> [Frame] { (0..<count).map { Frame("part \($0)") } }
        #expect(Socket.maximumPartCount == 16)
        #expect(try sockets.connected.send(message(17), within: limit) == .sent)
        #expect(try sockets.connected.send(message(200), within: limit) == .sent)
        #expect(try sockets.connected.send(message(16), within: limit) == .sent)
        let received = try #require(try sockets.bound.receive(within: limit))
        #expect(received.map(\.text) == (0..<16).map { "part \($0)" })
        #expect(sockets.bound.droppedMessageCount == 2)
        #expect(try sockets.bound.receive() == nil)
    }

    @Test(arguments: Transport.allCases)
    func routerAnswersTheDealerThatAsked(_ transport: Transport) throws {
        let context = try Context()
        let router = try Socket(context, .router)
        let endpoint = try router.bind(transport.endpoint)
        let dealers = try ["alpha", "beta", "gamma"].map { name in
            var options = SocketOptions()
            options.routingIdentity = Array(name.utf8)
            let dealer = try SocketBox(context, .dealer, options: options)
            try dealer.connect(endpoint)
            #expect(try dealer.send([Frame("I am \(name)")], within: limit) == .sent)
            return dealer
        }
        for _ in dealers {
            let frames = try #require(try router.receive(within: limit))
            #expect(frames.count == 2)
            let name = try #require(frames[0].text)
            #expect(frames[1].text == "I am \(name)")
            let answer = [frames[0], Frame("hello \(name)")]
            #expect(try router.send(answer) == .sent)
        }
        for (dealer, name) in zip(dealers, ["alpha", "beta", "gamma"]) {
            let answer = try #require(try dealer.receive(within: limit))
            #expect(answer.map(\.text) == ["hello \(name)"])
        }
    }

    @Test func requestAndReplyTakeTurns() throws {
        let context = try Context()
        let sockets = try ConnectedSockets(context, .tcp, bound: .rep, connected: .req)
        #expect(try sockets.connected.send([Frame("q"), Frame("r")], within: limit) == .sent)
        #expect(try sockets.bound.receive(within: limit)?.map(\.text) == ["q", "r"])
        #expect(try sockets.bound.send([Frame("a")]) == .sent)
        #expect(try sockets.connected.receive(within: limit)?.map(\.text) == ["a"])
        #expect(throws: ZeroMQError.self) { _ = try sockets.bound.send([Frame("again")]) }
    }

    @Test func subscribersGetWhatTheySubscribedTo() throws {
        let context = try Context()
        var options = SocketOptions()
        options.subscriptions = [Array("weights".utf8)]
        let sockets = try ConnectedSockets(
            context, .inproc, bound: .pub, connected: .sub, connectedOptions: options)
        // The subscription travels to the publisher; publish until it has arrived.
        var received: [Frame]?
        _ = try eventually {
            _ = try sockets.bound.send([Frame("other"), Frame("no")])
            _ = try sockets.bound.send([Frame("weights 7"), Frame("yes")])
            received = try sockets.connected.receive()
            return received != nil
        }
        #expect(received?.map(\.text) == ["weights 7", "yes"])
    }

    @Test func pairsTalkBothWays() throws {
        let context = try Context()
        let sockets = try ConnectedSockets(context, .ipc, bound: .pair, connected: .pair)
        #expect(try sockets.connected.send([Frame("to")], within: limit) == .sent)
        #expect(try sockets.bound.receive(within: limit)?.first?.text == "to")
        #expect(try sockets.bound.send([Frame("fro")], within: limit) == .sent)
        #expect(try sockets.connected.receive(within: limit)?.first?.text == "fro")
    }

    @Test func unboundAndDisconnectedSocketsGoQuiet() throws {
        let context = try Context()
        let sockets = try ConnectedSockets(context, .tcp, bound: .pull, connected: .push)
        #expect(try sockets.connected.send([Frame("one")], within: limit) == .sent)
        #expect(try sockets.bound.receive(within: limit) != nil)
        try sockets.connected.disconnect(sockets.endpoint)
        #expect(try sockets.connected.send([Frame("two")]) == .wouldBlock)
        try sockets.bound.unbind(sockets.endpoint)
        let successor = try Socket(context, .pull)
        #expect(eventually { (try? successor.bind(sockets.endpoint)) != nil })
    }
}
