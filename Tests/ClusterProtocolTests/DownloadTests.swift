import ClusterProtocol
import CounterRandom
import TestSupport
import Testing

@Suite struct DownloadTests {
    private static let object = DataObject(.training, 2)

    /// Asks and answers are lost, doubled and reordered, and a side is away for a while: every byte
    /// comes once, in order, and never more than the window is on its way.
    @Test func networkWithFaults() throws {
        for seed in TestSeed.seeds(2_000) {
            var random = RandomStream(seed: seed, purpose: .simulation, 41)
            let piece = DataHeader.maximumPieceByteCount
            let total = random.next(below: 12 * piece) + random.next(below: 2)
            let lossPercent = random.next(below: 15)
            let awayUntil = Duration.seconds(random.next(below: 60))
            var now = Duration.zero
            var download = Download(Self.object, now: now)
            var asks: [DataHeader] = []
            var received = 0
            var isFinished = false
            func take(_ actions: [Download.Action], _ header: DataHeader?) throws {
                for action in actions {
                    switch action {
                    case .ask(let ask):
                        #expect(ask.askedByteCount > 0, "seed \(seed)")
                        #expect(
                            ask.offset + ask.askedByteCount
                                <= download.offset + Download.windowPieceCount * piece,
                            "seed \(seed): beyond the window")
                        if random.next(below: 100) >= lossPercent { asks.append(ask) }
                        if random.next(below: 10) == 0 { asks.append(ask) }
                    case .append:
                        let header = try #require(header)
                        #expect(header.offset == received, "seed \(seed): out of order")
                        received += header.payloadByteCount
                    case .finish: isFinished = true
                    case .giveUp, .contradict: Issue.record("seed \(seed): \(action)")
                    }
                }
            }
            try take(download.start(now: now), nil)
            while !isFinished, now < .seconds(3000) {
                now += .milliseconds(50)
                if now > awayUntil, !asks.isEmpty {
                    let place = random.next(below: 4) == 0 ? random.next(below: asks.count) : 0
                    let ask = asks.remove(at: place)
                    let count = max(0, min(total - ask.offset, ask.askedByteCount))
                    let answer = DataHeader(
                        .piece, Self.object, offset: ask.offset, totalByteCount: total,
                        payloadByteCount: count)
                    for _ in 0...(random.next(below: 8) == 0 ? 1 : 0)
                    where random.next(below: 100) >= lossPercent {
                        try take(download.receive(answer, now: now), answer)
                    }
                }
                try take(download.tick(now: now), nil)
            }
            #expect(isFinished && received == total, "seed \(seed): \(received) of \(total)")
        }
    }

    @Test func givesUpAfterItsPatience() {
        var download = Download(Self.object, now: .seconds(5))
        _ = download.start(now: .seconds(5))
        let early = download.tick(now: .seconds(124))
        let late = download.tick(now: .seconds(126))
        let after = download.tick(now: .seconds(400))
        #expect(!early.contains(.giveUp) && late == [.giveUp] && after == [])
    }

    /// A side that does not answer is asked less and less often.
    @Test func asksLessAndLessOften() {
        var download = Download(Self.object, now: .zero)
        var asked = download.start(now: .zero).count
        for second in 1...100 { asked += download.tick(now: .seconds(second)).count }
        #expect(asked < 12)
    }

    @Test func otherAnswersDoNotCount() {
        var download = Download(Self.object, now: .zero)
        _ = download.start(now: .zero)
        func piece(
            _ object: DataObject = Self.object, offset: Int = 0, total: Int = 10, payload: Int = 5,
            kind: DataKind = .piece
        ) -> DataHeader {
            DataHeader(
                kind, object, offset: offset, totalByteCount: total, payloadByteCount: payload)
        }
        let foreign = [
            piece(DataObject(.test, 2)), piece(offset: 5), piece(total: 4), piece(payload: 0),
            piece(kind: .ask),
        ]
        for header in foreign {
            let actions = download.receive(header, now: .zero)
            #expect(actions == [], "\(header)")
        }
        let first = download.receive(piece(), now: .zero)
        let second = download.receive(piece(offset: 5, total: 11), now: .zero)
        #expect(first.first == .append)
        #expect(second == [.contradict(expected: 10, found: 11)])
    }
}
