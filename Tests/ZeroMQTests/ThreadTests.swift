import Testing
import ZeroMQ

@Suite struct ThreadTests {
    @Test func manyThreadsEachWithTheirOwnSockets() throws {
        let context = try Context(ioThreadCount: 2)
        let router = try Socket(context, .router)
        let endpoint = try router.bind(Transport.tcp.endpoint)
        let threadCount = 12
        let roundCount = 100
        let threads = (0..<threadCount).map { index in
            TestThread {
                let dealer = try Socket(context, .dealer)
                try dealer.connect(endpoint)
                for round in 0..<roundCount {
                    let text = "thread \(index) round \(round)"
                    let outcome = try dealer.send(
                        [Frame(text), Frame(pattern(round * 50))], within: limit)
                    #expect(outcome == .sent)
                    let answer = try dealer.receive(within: limit)
                    #expect(answer?.first?.text == text)
                }
            }
        }
        var pollSet = try PollSet()
        var answered = 0
        while answered < threadCount * roundCount {
            let result = try pollSet.wait(for: [router.pollItem], timeout: limit)
            guard result.isReady(0) else { throw TestTrouble("only \(answered) were answered") }
            while let frames = try router.receive() {
                #expect(try router.send([frames[0], frames[1]]) == .sent)
                answered += 1
            }
        }
        for thread in threads { thread.join() }
    }

    @Test func useOnTheWrongThreadEndsTheProcessNamingBoth() async throws {
        let result = try await #require(
            processExitsWith: .failure, observing: [\.standardErrorContent]
        ) {
            let box = UncheckedBox(try SocketBox(try Context(), .pull))
            TestThread { _ = try box.value.receive() }.join()
        }
        let text = String(decoding: result.standardErrorContent, as: UTF8.self)
        #expect(text.contains("receive of a pull socket called on the wrong thread"))
        #expect(text.contains("expected thread ") && text.contains("actual thread "))
    }

    @Test func closingOnTheWrongThreadEndsTheProcess() async {
        await #expect(processExitsWith: .failure) {
            let box = UncheckedBox(try SocketBox(try Context(), .pull))
            TestThread { box.value.close() }.join()
        }
    }

    @Test func useAfterCloseEndsTheProcess() async throws {
        let result = try await #require(
            processExitsWith: .failure, observing: [\.standardErrorContent]
        ) {
            let box = try SocketBox(try Context(), .push)
            box.close()
            _ = try box.send([Frame("x")])
        }
        let text = String(decoding: result.standardErrorContent, as: UTF8.self)
        #expect(text.contains("send of a push socket after its close"))
    }

    @Test func aRouterMessageOfOneFrameEndsTheProcess() async {
        await #expect(processExitsWith: .failure) {
            let router = try Socket(try Context(), .router)
            _ = try router.send([Frame("identity alone")])
        }
    }
}

/// Safety: carries a socket to the wrong thread on purpose.
private struct UncheckedBox<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
}
