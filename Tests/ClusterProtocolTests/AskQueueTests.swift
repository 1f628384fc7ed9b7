import ClusterProtocol
import CounterRandom
import TestSupport
import Testing

@Suite struct AskQueueTests {
    private func ask(_ offset: Int) -> DataHeader {
        DataHeader(.ask, DataObject(.training, 0), offset: offset, askedByteCount: 1)
    }

    private func peer(_ name: String) -> PeerIdentity { PeerIdentity(rawValue: name) }

    @Test func peersInTurn() {
        var queue = AskQueue()
        for offset in 0..<5 { queue.add(ask(offset), from: peer("a")) }
        queue.add(ask(0), from: peer("b"))
        queue.add(ask(1), from: peer("b"))
        var order: [String] = []
        while let (ask, peer) = queue.next() { order.append("\(peer)\(ask.offset)") }
        #expect(order == ["a0", "b0", "a1", "b1", "a2", "a3", "a4"])
        #expect(queue.isEmpty)
    }

    @Test func bounds() {
        var queue = AskQueue()
        for offset in 0..<AskQueue.maximumPerPeer {
            queue.add(ask(offset), from: peer("a"))
        }
        let isTwiceGood = queue.add(ask(0), from: peer("a"))
        let isOneMoreGood = queue.add(ask(1000), from: peer("a"))
        #expect(isTwiceGood && !isOneMoreGood)
        for index in 1..<AskQueue.maximumPeerCount { queue.add(ask(0), from: peer("p\(index)")) }
        let isPeerGood = queue.add(ask(0), from: peer("one too many"))
        #expect(!isPeerGood)
        var count = 0
        while queue.next() != nil { count += 1 }
        #expect(count == AskQueue.maximumPerPeer + AskQueue.maximumPeerCount - 1)
    }

    /// Compares the queue with a dictionary of lists: nothing is lost or doubled, and each peer's
    /// asks keep their order.
    @Test func againstATwin() {
        for seed in TestSeed.seeds(500) {
            var random = RandomStream(seed: seed, purpose: .simulation, 42)
            var queue = AskQueue()
            var twin: [PeerIdentity: [DataHeader]] = [:]
            for _ in 0..<200 {
                if random.next(below: 3) > 0 {
                    let peer = peer("p\(random.next(below: 5))")
                    let ask = ask(random.next(below: 30))
                    let isNew = !twin[peer, default: []].contains(ask)
                    if queue.add(ask, from: peer), isNew { twin[peer, default: []].append(ask) }
                } else if let (ask, peer) = queue.next() {
                    #expect(twin[peer]?.first == ask, "seed \(seed)")
                    twin[peer]?.removeFirst()
                } else {
                    #expect(twin.values.allSatisfy { $0.isEmpty }, "seed \(seed)")
                }
            }
            while let (ask, peer) = queue.next() {
                #expect(twin[peer]?.first == ask, "seed \(seed)")
                twin[peer]?.removeFirst()
            }
            #expect(twin.values.allSatisfy { $0.isEmpty }, "seed \(seed)")
        }
    }
}
