import Testing
import ZeroMQ

@Suite struct ContextTests {
    @Test func versionsAreChecked() throws {
        #expect(LibraryVersion.current >= LibraryVersion.minimum)
        try LibraryVersion(major: 4, minor: 3, patch: 0).requireSupported()
        try LibraryVersion(major: 5, minor: 0, patch: 0).requireSupported()
        let error = #expect(throws: ZeroMQError.self) {
            try LibraryVersion(major: 4, minor: 2, patch: 5).requireSupported()
        }
        #expect(error?.code == .libraryTooOld)
        #expect(error.map { "\($0)" }?.contains("4.2.5") == true)
    }

    @Test func badCountsAreRefused() {
        #expect(throws: ZeroMQError.self) { try Context(ioThreadCount: -1) }
        #expect(throws: ZeroMQError.self) { try Context(maximumSocketCount: 0) }
    }

    @Test func theLimitOnSocketsHolds() throws {
        let context = try Context(maximumSocketCount: 2)
        var sockets: [SocketBox] = []
        let error = #expect(throws: ZeroMQError.self) {
            for _ in 0..<5 { sockets.append(try SocketBox(context, .pair)) }
        }
        #expect(error?.code == .tooManyOpen)
        #expect(sockets.count < 5)
    }

    @Test func terminateIsIdempotentAndFinal() throws {
        let context = try Context()
        try Socket(context, .pair).close()
        context.terminate()
        context.terminate()
        context.shutdown()
        let error = #expect(throws: ZeroMQError.self) { _ = try Socket(context, .pair) }
        #expect(error?.code == .contextTerminated)
    }

    @Test func socketsKeepTheirContextAlive() throws {
        let socket = try Socket(try Context(), .pair)
        _ = try socket.bind(Transport.tcp.endpoint)
        #expect(try socket.receive() == nil)
    }

    @Test func shutdownEndsWaitsOfOtherThreads() throws {
        let context = try Context()
        let threads = (0..<3).map { _ in
            TestThread {
                let socket = try Socket(context, .pull)
                _ = try socket.bind(Transport.tcp.endpoint)
                let error = #expect(throws: ZeroMQError.self) {
                    _ = try socket.receive(within: .seconds(30))
                }
                #expect(error?.code == .contextTerminated)
            }
        }
        usleepMilliseconds(50)
        let start = ContinuousClock.now
        context.shutdown()
        for thread in threads { thread.join() }
        context.terminate()
        #expect(ContinuousClock.now - start < .seconds(10))
    }
}
