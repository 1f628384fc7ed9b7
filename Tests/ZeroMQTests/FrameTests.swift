import Foundation
import Synchronization
import Testing
import ZeroMQ

/// Memory that counts when it is freed.
private final class LentMemory: Sendable {
    // Safety: written before it is lent, read only afterwards.
    nonisolated(unsafe) let memory: UnsafeMutableRawBufferPointer
    private let freedCount: FreedCount

    init(_ byteCount: Int, _ freedCount: FreedCount) {
        memory = .allocate(byteCount: byteCount, alignment: 64)
        memory.copyBytes(from: pattern(byteCount))
        self.freedCount = freedCount
    }

    deinit {
        // The pattern shows a read that comes too late.
        memory.initializeMemory(as: UInt8.self, repeating: 0xEE)
        memory.deallocate()
        freedCount.value.add(1, ordering: .sequentiallyConsistent)
    }

    var frame: Frame { Frame(lending: UnsafeRawBufferPointer(memory), owner: self) }
}

private final class FreedCount: Sendable {
    let value = Atomic<Int>(0)
    var current: Int { value.load(ordering: .sequentiallyConsistent) }
}

@Suite struct FrameTests {
    @Test func contentIsReadBack() {
        #expect(Frame("Grüße").text == "Grüße")
        #expect(Frame([1, 2, 3]).bytes == [1, 2, 3])
        #expect(Frame([]).byteCount == 0)
        #expect(Frame("").text == "")
        let copied = pattern(40).withUnsafeBytes { Frame(copying: $0) }
        #expect(copied.bytes == pattern(40))
        #expect(Frame([0x66, 0xFF, 0x66]).text == nil)
        #expect(Frame("x").sourceFileDescriptor == nil)
        #expect(Frame("x").peerAddress == nil)
        #expect(Frame("x").authenticatedUser == nil)
    }

    @Test(arguments: [10, 100_000])
    func oneFrameGoesToManyPeersAndStaysUsable(_ byteCount: Int) throws {
        let context = try Context()
        let bytes = pattern(byteCount)
        let frame = Frame(bytes)
        let receivers = try (0..<5).map { _ in try SocketBox(context, .pull) }
        for transport in Transport.allCases {
            for receiver in receivers {
                let sender = try Socket(context, .push)
                try sender.connect(try receiver.bind(transport.endpoint))
                #expect(try sender.send([frame, frame], within: limit) == .sent)
                let received = try #require(try receiver.receive(within: limit))
                #expect(received.map(\.bytes) == [bytes, bytes])
            }
        }
        #expect(frame.bytes == bytes)
    }

    @Test func receivedFramesCanBeSentOn() throws {
        let context = try Context()
        let first = try ConnectedSockets(context, .tcp, bound: .pull, connected: .push)
        let second = try ConnectedSockets(context, .tcp, bound: .pull, connected: .push)
        let parts = [pattern(5), pattern(50_000), []]
        #expect(try first.connected.send(parts.map { Frame($0) }, within: limit) == .sent)
        let received = try #require(try first.bound.receive(within: limit))
        // The frames are reversed, so that a frame that had a successor is now the last one.
        #expect(try second.connected.send(received.reversed(), within: limit) == .sent)
        let forwarded = try #require(try second.bound.receive(within: limit))
        #expect(forwarded.map(\.bytes) == parts.reversed())
        #expect(try second.bound.receive() == nil)
    }

    @Test func lentMemoryReachesAnInprocReceiverAtTheSameAddress() throws {
        let context = try Context()
        let sockets = try ConnectedSockets(context, .inproc, bound: .pull, connected: .push)
        let freed = FreedCount()
        var owner: LentMemory? = LentMemory(200_000, freed)
        let address = try #require(owner?.memory.baseAddress)
        var frame = owner?.frame
        owner = nil
        #expect(try sockets.connected.send([frame!], within: limit) == .sent)
        frame = nil
        #expect(freed.current == 0)
        var received = try sockets.bound.receive(within: limit)
        received?[0].withUnsafeBytes { #expect($0.baseAddress == UnsafeRawPointer(address)) }
        #expect(received?[0].bytes == pattern(200_000))
        #expect(freed.current == 0)
        received = nil
        #expect(freed.current == 1)
    }

    @Test(arguments: [Transport.tcp, .ipc])
    func lentMemoryIsFreedAfterDeliveryAndNotBefore(_ transport: Transport) throws {
        let context = try Context()
        let sender = try Socket(context, .push)
        let freed = FreedCount()
        // There is no receiver yet: the message waits in the sender's queue.
        let receiver = try Socket(context, .pull)
        let path = FileManager.default.temporaryDirectory.path + "/\(UUID().uuidString)"
        let endpoint = try receiver.bind(
            transport == .ipc ? "ipc://\(path)" : transport.endpoint)
        try receiver.unbind(endpoint)
        try sender.connect(endpoint)
        #expect(try sender.send([LentMemory(3_000_000, freed).frame], within: limit) == .sent)
        usleepMilliseconds(50)
        #expect(freed.current == 0)
        #expect(eventually { (try? receiver.bind(endpoint)) != nil })
        let received = try #require(try receiver.receive(within: limit))
        #expect(received[0].bytes == pattern(3_000_000))
        #expect(eventually { freed.current == 1 })
    }

    @Test func lentMemoryOfUnsentAndUndeliveredFramesIsFreedOnce() throws {
        let freed = FreedCount()
        _ = LentMemory(5000, freed).frame
        #expect(freed.current == 1)
        let context = try Context()
        do {
            let sender = try Socket(context, .push)
            try sender.connect("tcp://127.0.0.1:9")
            let frame = LentMemory(5000, freed).frame
            for _ in 0..<3 { #expect(try sender.send([frame]) == .sent) }
        }
        context.terminate()
        #expect(freed.current == 2)
    }

    @Test func refusedSendsLetGoOfLentMemory() throws {
        let freed = FreedCount()
        let context = try Context()
        let lonely = try Socket(context, .push)
        let router = try Socket(context, .router)
        do {
            let frame = LentMemory(5000, freed).frame
            #expect(try lonely.send([frame, frame]) == .wouldBlock)
            #expect(try router.send([frame, frame]) == .unreachable)
            #expect(freed.current == 0)
        }
        #expect(freed.current == 1)
    }

    @Test func smallLentMemoryIsCopiedAndNotHeld() {
        let freed = FreedCount()
        let byteCount = Frame.smallestLentByteCount - 1
        let frame = LentMemory(byteCount, freed).frame
        #expect(freed.current == 1)
        #expect(frame.bytes == pattern(byteCount))
    }

    @Test func manyThreadsSendOneFrameAtOnce() throws {
        let freed = FreedCount()
        let context = try Context()
        let byteCount = 4096
        do {
            let frame = LentMemory(byteCount, freed).frame
            let expected = pattern(byteCount)
            let threads = (0..<8).map { _ in
                TestThread {
                    let sockets = try ConnectedSockets(
                        context, .inproc, bound: .pull, connected: .push)
                    for _ in 0..<500 {
                        _ = try sockets.connected.send([frame, frame], within: limit)
                        let received = try sockets.bound.receive(within: limit)
                        #expect(received?.count == 2)
                        #expect(received?[1].byteCount == byteCount)
                    }
                    #expect(frame.bytes == expected)
                }
            }
            for thread in threads { thread.join() }
            #expect(freed.current == 0)
        }
        context.terminate()
        #expect(eventually { freed.current == 1 })
    }
}
