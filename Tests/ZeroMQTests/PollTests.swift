import Glibc
import Synchronization
import Testing
import ZeroMQ

@Suite struct PollTests {
    @Test func readySocketsAreFoundAndOthersAreNot() throws {
        let context = try Context()
        let one = try ConnectedSockets(context, .tcp, bound: .pull, connected: .push)
        let two = try ConnectedSockets(context, .inproc, bound: .pull, connected: .push)
        var pollSet = try PollSet()
        let items = [one.bound.pollItem, two.bound.pollItem]
        #expect(try pollSet.wait(for: items, timeout: .zero).isEmpty)
        _ = try two.connected.send([Frame("x")], within: limit)
        let second = try pollSet.wait(for: items, timeout: limit)
        #expect(!second.isReady(0) && second.isReady(1) && !second.wasWoken)
        _ = try one.connected.send([Frame("x")], within: limit)
        _ = try two.bound.receive()
        let first = try pollSet.wait(for: items, timeout: limit)
        #expect(first.isReady(0) && !first.isReady(1))
        let writable = try pollSet.wait(
            for: [two.connected.pollItem(for: [.readable, .writable])], timeout: limit)
        #expect(writable.found == [.writable])
    }

    /// A socket's descriptor signals a change only once, so a wait must remember it until it is
    /// used up.
    @Test func readinessLastsUntilItIsUsedUp() throws {
        let context = try Context()
        for transport in [Transport.inproc, .tcp] {
            let pair = try ConnectedSockets(context, transport, bound: .dealer, connected: .dealer)
            var pollSet = try PollSet()
            let items = [pair.bound.pollItem]
            for text in ["a", "b"] { _ = try pair.connected.send([Frame(text)], within: limit) }
            for _ in 0..<3 { #expect(try pollSet.wait(for: items, timeout: limit).isReady(0)) }
            #expect(try pair.bound.receive(within: limit)?.first?.text == "a")
            // A send in between may take note of the change.
            _ = try pair.bound.send([Frame("back")], within: limit)
            for _ in 0..<3 { #expect(try pollSet.wait(for: items, timeout: limit).isReady(0)) }
            #expect(try pair.bound.receive(within: limit)?.first?.text == "b")
            for _ in 0..<3 { #expect(try pollSet.wait(for: items, timeout: .zero).isEmpty) }
            // An event that the last wait did not ask for is known to the next.
            let both = [pair.bound.pollItem(for: [.readable, .writable])]
            #expect(try pollSet.wait(for: both, timeout: limit).found == [.writable])
            #expect(try pollSet.wait(for: items, timeout: .zero).isEmpty)
            #expect(try pollSet.wait(for: both, timeout: limit).found == [.writable])
        }
    }

    /// Messages come at random times and are taken and answered a few at a time: no wait misses
    /// one.
    @Test(arguments: [Transport.inproc, .tcp]) func noSignalIsLost(transport: Transport) throws {
        let context = try Context()
        let pull = try Socket(context, .dealer)
        let endpoint = try pull.bind(transport.endpoint)
        let total = 30_000
        let sender = TestThread {
            let push = try Socket(context, .dealer)
            try push.connect(endpoint)
            var state: UInt64 = 88_172_645_463_325_252
            for number in 0..<total {
                guard try push.send([Frame("\(number)")], within: limit) == .sent else {
                    throw TestTrouble("\(number) was not sent")
                }
                state ^= state << 13
                state ^= state >> 7
                state ^= state << 17
                if state % 64 == 0 { usleep(UInt32(state >> 32) % 200) }
                // The last answer is left for the loop below, which waits for it.
                while number < total - 1, try push.receive() != nil {}
            }
            // The sender stays until the last answer has come.
            while try push.receive(within: limit)?.first?.text != "\(total - 1)" {}
        }
        var pollSet = try PollSet()
        var seen = 0
        while seen < total {
            guard try pollSet.wait(for: [pull.pollItem], timeout: limit).isReady(0) else {
                throw TestTrouble("a wait slept on message \(seen)")
            }
            for _ in 0..<(1 + seen % 5) {
                guard let frames = try pull.receive() else { break }
                guard frames.first?.text == "\(seen)" else { throw TestTrouble("lost \(seen)") }
                if seen % 7 == 0 || seen == total - 1 {
                    _ = try pull.send([Frame("\(seen)")], within: limit)
                }
                seen += 1
            }
        }
        sender.join()
    }

    /// The first look at a monitor after a wait repeats the wait's result; the second looks itself.
    @Test func aQuietMonitorIsLookedAtAgain() throws {
        let context = try Context()
        let router = try Socket(context, .router)
        let monitor = try router.startMonitor()
        var pollSet = try PollSet()
        #expect(try pollSet.wait(for: [monitor.pollItem], timeout: .zero).isEmpty)
        _ = try router.bind(Transport.tcp.endpoint)
        #expect(monitor.nextEventUnlessQuiet() == nil)
        #expect(eventually { monitor.nextEventUnlessQuiet()?.kind == .listening })
        // `nextEvent` looks whatever the wait found.
        #expect(try pollSet.wait(for: [monitor.pollItem], timeout: .zero).isEmpty)
        _ = try router.bind(Transport.tcp.endpoint)
        #expect(eventually { monitor.nextEvent()?.kind == .listening })
    }

    @Test func aWaitWithoutItemsLastsItsTime() throws {
        var pollSet = try PollSet()
        let start = ContinuousClock.now
        #expect(try pollSet.wait(for: [], timeout: .microseconds(30_100)).isEmpty)
        #expect(ContinuousClock.now - start >= .milliseconds(30))
    }

    @Test func aWakeUpFromAnotherThreadEndsTheWait() throws {
        let context = try Context()
        let socket = try Socket(context, .pull)
        _ = try socket.bind(Transport.tcp.endpoint)
        var pollSet = try PollSet()
        let waker = pollSet.waker
        let wokenAt = Mutex<ContinuousClock.Instant?>(nil)
        let thread = TestThread {
            usleepMilliseconds(100)
            wokenAt.withLock { $0 = .now }
            waker.wake()
        }
        let result = try pollSet.wait(for: [socket.pollItem], timeout: limit)
        let instant = try #require(wokenAt.withLock { $0 })
        #expect(ContinuousClock.now - instant < .seconds(1))
        #expect(result.wasWoken && !result.isReady(0) && !result.isEmpty)
        thread.join()
        #expect(try pollSet.wait(for: [], timeout: .zero).isEmpty)
    }

    @Test func wakeUpsCoalesceAndNoneIsLost() throws {
        var pollSet = try PollSet()
        let waker = pollSet.waker
        for _ in 0..<1000 { waker.wake() }
        #expect(try pollSet.wait(for: [], timeout: limit).wasWoken)
        #expect(try pollSet.wait(for: [], timeout: .zero).isEmpty)
        // Every posted number must be seen after a wake-up, for any interleaving.
        let posted = Atomic<Int>(0)
        let total = 40_000
        let threads = (0..<2).map { _ in
            TestThread {
                for _ in 0..<(total / 2) {
                    posted.add(1, ordering: .relaxed)
                    waker.wake()
                }
            }
        }
        var seen = 0
        while seen < total {
            let result = try pollSet.wait(for: [], timeout: limit)
            guard result.wasWoken else { throw TestTrouble("a wake-up was lost at \(seen)") }
            seen = posted.load(ordering: .relaxed)
        }
        for thread in threads { thread.join() }
    }

    @Test func fileDescriptorsAndMonitorsAreWaitedFor() throws {
        let context = try Context()
        let router = try Socket(context, .router)
        let monitor = try router.startMonitor()
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        var pollSet = try PollSet()
        let items = [PollItem(fileDescriptor: ends[0]), monitor.pollItem]
        #expect(try pollSet.wait(for: items, timeout: .zero).isEmpty)
        #expect(write(ends[1], "x", 1) == 1)
        #expect(try pollSet.wait(for: items, timeout: limit).found == [.readable, []])
        _ = try router.bind(Transport.tcp.endpoint)
        #expect(try eventually { try pollSet.wait(for: items, timeout: limit).isReady(1) })
    }

    @Test func aSignalEndsTheWaitWithNothingFound() throws {
        // Without SA_RESTART, so that poll reports the interruption.
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { _ in }
        sigaction(SIGUSR2, &action, nil)
        let flag = SharedFlag()
        let waiter = TestThread {
            // Threads of the test runner block every signal, and threads that they start inherit
            // that.
            var signals = sigset_t()
            sigemptyset(&signals)
            sigaddset(&signals, SIGUSR2)
            pthread_sigmask(SIG_UNBLOCK, &signals, nil)
            let thread = pthread_self()
            let sender = TestThread {
                while !flag.isSet {
                    usleepMilliseconds(20)
                    pthread_kill(thread, SIGUSR2)
                }
            }
            var pollSet = try PollSet()
            let start = ContinuousClock.now
            let result = try pollSet.wait(for: [], timeout: limit)
            flag.set()
            #expect(result.isEmpty)
            #expect(ContinuousClock.now - start < limit)
            sender.join()
        }
        waiter.join()
    }

    @Test func shutdownEndsAWait() throws {
        let context = try Context()
        let socket = try Socket(context, .pull)
        _ = try socket.bind(Transport.tcp.endpoint)
        let thread = TestThread {
            usleepMilliseconds(50)
            context.shutdown()
        }
        var pollSet = try PollSet()
        let error = #expect(throws: ZeroMQError.self) {
            _ = try pollSet.wait(for: [socket.pollItem], timeout: limit)
        }
        #expect(error?.code == .contextTerminated)
        thread.join()
    }

    @Test func boxedSocketsLiveInADictionary() throws {
        let context = try Context()
        var boxes: [Int: SocketBox] = [:]
        for index in 0..<3 {
            boxes[index] = SocketBox(try Socket(context, .pull))
            let sender = try Socket(context, .push)
            let endpoint = try #require(try boxes[index]?.bind(Transport.inproc.endpoint))
            try sender.connect(endpoint)
            if index != 1 { _ = try sender.send([Frame("to \(index)")], within: limit) }
        }
        var pollSet = try PollSet()
        let order = boxes.keys.sorted()
        let items = order.compactMap { boxes[$0]?.pollItem }
        let result = try pollSet.wait(for: items, timeout: limit)
        #expect(result.found.map { !$0.isEmpty } == [true, false, true])
        #expect(try boxes[2]?.receive()?.first?.text == "to 2")
        boxes[0]?.close()
        boxes[0]?.close()
        #expect(boxes[0]?.isOpen == false)
    }
}

private final class SharedFlag: Sendable {
    private let value = Atomic<Bool>(false)
    var isSet: Bool { value.load(ordering: .acquiring) }
    func set() { value.store(true, ordering: .releasing) }
}
