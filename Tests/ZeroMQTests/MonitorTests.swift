import Testing
import ZeroMQ

@Suite struct MonitorTests {
    @Test(arguments: [Transport.tcp, .ipc])
    func connectionsAreReportedOnBothSides(_ transport: Transport) throws {
        let context = try Context()
        let router = try Socket(context, .router)
        let routerMonitor = try router.startMonitor()
        let endpoint = try router.bind(transport.endpoint)
        let dealer = try Socket(context, .dealer)
        let dealerMonitor = try dealer.startMonitor()
        try dealer.connect(endpoint)
        for kind in [SocketEvent.Kind.listening, .accepted, .handshakeSucceeded] {
            let found = event(of: routerMonitor) { $0.kind == kind }
            #expect(found?.endpoint == endpoint, "\(kind)")
        }
        for kind in [SocketEvent.Kind.connected, .handshakeSucceeded] {
            let found = event(of: dealerMonitor) { $0.kind == kind }
            #expect(found?.endpoint == endpoint, "\(kind)")
        }
        dealer.close()
        let gone = event(of: routerMonitor) { $0.kind == .disconnected }
        #expect(gone?.fileDescriptor != nil)
        #expect(event(of: dealerMonitor) { $0.kind == .monitorStopped } != nil)
        #expect(dealerMonitor.nextEvent() == nil)
    }

    @Test func failedConnectionsAreTriedAgain() throws {
        let context = try Context()
        let probe = try Socket(context, .router)
        let endpoint = try probe.bind(Transport.tcp.endpoint)
        probe.close()
        let dealer = try Socket(context, .dealer)
        let monitor = try dealer.startMonitor()
        #expect(eventually { (try? dealer.connect(endpoint)) != nil })
        let retried = event(of: monitor) {
            if case .connectRetried(let pause) = $0.kind { return pause > .zero }
            return false
        }
        #expect(retried != nil)
    }

    @Test(arguments: [Transport.tcp, .ipc])
    func aDisconnectNamesTheDescriptorOfThePeersMessages(_ transport: Transport) throws {
        let context = try Context()
        let router = try Socket(context, .router)
        let endpoint = try router.bind(transport.endpoint)
        let monitor = try router.startMonitor()
        var dealers: [String: SocketBox] = [:]
        var descriptors: [String: Int32] = [:]
        for name in ["a", "b", "c", "d"] {
            var options = SocketOptions()
            options.routingIdentity = Array(name.utf8)
            let dealer = try SocketBox(context, .dealer, options: options)
            try dealer.connect(endpoint)
            _ = try dealer.send([Frame("hello"), Frame(pattern(20_000))], within: limit)
            dealers[name] = dealer
            let frames = try #require(try router.receive(within: limit))
            #expect(frames[0].text == name)
            #expect(Set(frames.dropFirst().map(\.sourceFileDescriptor)).count == 1)
            #expect(frames[1].announcedIdentity == name)
            let address = try #require(frames[1].peerAddress)
            #expect(transport == .ipc ? address.contains(":") : address == "127.0.0.1")
            descriptors[name] = try #require(frames.last?.sourceFileDescriptor)
        }
        #expect(Set(descriptors.values).count == 4)
        for name in ["c", "a", "d", "b"] {
            dealers[name]?.close()
            let gone = event(of: monitor) { $0.kind == .disconnected }
            #expect(gone?.fileDescriptor == descriptors[name], "\(name)")
        }
    }

    @Test func aReusedDescriptorIsNeverMistakenForItsPredecessor() throws {
        let context = try Context()
        let router = try Socket(context, .router)
        let endpoint = try router.bind(Transport.tcp.endpoint)
        let monitor = try router.startMonitor()
        var ownerOfDescriptor: [Int32: String] = [:]
        var gone: [String] = []
        func drain() {
            while let event = monitor.nextEvent() {
                guard event.kind == .disconnected, let number = event.fileDescriptor,
                    let name = ownerOfDescriptor.removeValue(forKey: number)
                else { continue }
                gone.append(name)
            }
        }
        let names = (0..<40).map { "peer \($0)" }
        let peers = TestThread {
            for name in names {
                let dealer = try Socket(context, .dealer)
                try dealer.connect(endpoint)
                _ = try dealer.send([Frame(name)], within: limit)
                // The answer shows that the message was received.
                #expect(try dealer.receive(within: limit) != nil)
            }
        }
        for name in names {
            let frames = try #require(try router.receive(within: limit))
            drain()
            let descriptor = try #require(frames[1].sourceFileDescriptor)
            #expect(frames[1].text == name)
            #expect(ownerOfDescriptor[descriptor] == nil)
            ownerOfDescriptor[descriptor] = name
            _ = try router.send([frames[0], Frame("ok")])
        }
        peers.join()
        #expect(
            eventually {
                drain()
                return gone.count == names.count
            })
        #expect(gone == names)
    }

    @Test func aSecondMonitorReplacesTheFirst() throws {
        let context = try Context()
        let router = try Socket(context, .router)
        do {
            let first = try router.startMonitor()
            let second = try router.startMonitor()
            #expect(event(of: first) { $0.kind == .monitorStopped } != nil)
            _ = try router.bind(Transport.tcp.endpoint)
            #expect(event(of: second) { $0.kind == .listening } != nil)
        }
        let third = try router.startMonitor()
        _ = try router.bind(Transport.tcp.endpoint)
        #expect(event(of: third) { $0.kind == .listening } != nil)
    }

    @Test func anEarlierMonitorsEndDoesNotStopALaterOne() throws {
        let context = try Context()
        let router = try Socket(context, .router)
        let later: SocketMonitor
        do {
            let earlier = try router.startMonitor()
            later = try router.startMonitor()
            _ = earlier.nextEvent()
        }
        _ = try router.bind(Transport.tcp.endpoint)
        #expect(event(of: later) { $0.kind == .listening } != nil)
    }

    @Test func aMonitorThatIsNotDrainedHoldsNothingUp() throws {
        let context = try Context()
        let router = try Socket(context, .router)
        let endpoint = try router.bind(Transport.tcp.endpoint)
        let monitor = try router.startMonitor()
        // Each connection makes three events; libzmq's queue would be full after 2000.
        for _ in 0..<900 {
            let dealer = try Socket(context, .dealer)
            try dealer.connect(endpoint)
            _ = try dealer.send([Frame("x")], within: limit)
            #expect(try router.receive(within: limit) != nil)
        }
        var count = 0
        while let event = monitor.nextEvent() {
            if event.kind == .accepted { count += 1 }
        }
        #expect(count == 900)
    }
}
