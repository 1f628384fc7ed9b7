import ClusterProtocol
import TestSupport
import Testing

/// When a worker with nothing to do offers help, and when it does not.
@Suite struct HelpingTests {
    /// One of two workers, in steps of known duration.
    private struct Bench {
        let shard = ShardIndex(0)
        var machine: WorkerMachine
        var now: Duration = .zero
        var step = Step(0)

        init(leafCount: Int = 2) {
            let plan = SlicePlan(parameterCount: 16, shardCount: 1)
            machine = WorkerMachine(
                .init(
                    identity: PeerIdentity(rawValue: "worker-a"),
                    tree: ReductionTree(leafCount: leafCount), plan: plan,
                    retryInterval: .seconds(100)))
            let placement = ShardPlacement(
                shard: shard, host: PeerIdentity(rawValue: "server-a"), endpoint: "ipc://a")
            let assignment = Assignment(
                generation: Generation(1), virtualWorkers: [VirtualWorkerIndex(0)],
                stepLimit: Step(10_000), shards: [placement], placement: Placement(1),
                instructionSet: "generic")
            _ = machine.step(.assignment(assignment), now: now)
            _ = arrive()
        }

        mutating func arrive() -> [WorkerMachine.Action] {
            machine.step(
                .weights(
                    shard: shard, chunk: ChunkIndex(0), version: step, placement: Placement(1)),
                now: now)
        }

        /// Plays a step in which the next weights come `wait` after the worker's own share, or soon
        /// after `help` when `isUseful`.
        ///
        /// - Returns: how long the worker waited before it offered help; nil when it offered none.
        mutating func play(
            own: Duration, wait: Duration, help: Duration, isUseful: Bool
        ) -> Duration? {
            now += own
            let begin = now
            var actions = machine.step(.nodeComputed(step: step, node: .leaf(0)), now: now)
            var end = begin + wait
            var asked: Duration?
            var helped: Duration?
            while true {
                if asked == nil, actions.contains(.inquire(shard: shard, step: step)) {
                    asked = now - begin
                    helped = now + help
                    takeHelp()
                    if isUseful { end = now + help + .microseconds(500) }
                }
                guard now < end else { break }
                now += .microseconds(500)
                if let done = helped, now >= done {
                    helped = nil
                    _ = machine.step(.nodeComputed(step: step, node: .leaf(1)), now: now)
                }
                actions = machine.step(.tick, now: now)
            }
            step = step.next
            _ = arrive()
            return asked
        }

        private mutating func takeHelp() {
            let actions = machine.step(
                .missing(step: step, virtualWorkers: [VirtualWorkerIndex(1)]), now: now)
            #expect(actions == [.compute(step: step, nodes: [.leaf(1)])])
        }
    }

    /// Everyone waits when an exchange takes long; copies would only lengthen it.
    @Test(arguments: [20, 50, 200, 1000])
    func anExchangeThatIsAlwaysSlow(milliseconds: Int) {
        var bench = Bench()
        var offers: [Int] = []
        for step in 0..<100 {
            let offer = bench.play(
                own: .milliseconds(1), wait: .milliseconds(milliseconds), help: .milliseconds(1),
                isUseful: false)
            if offer != nil { offers.append(step) }
        }
        #expect(offers.count <= 10 && (offers.last ?? 0) < 12, "\(offers)")
    }

    /// The waits vary, as with more workers than processors.
    @Test func waitsThatVary() {
        var bench = Bench()
        var offers = 0
        for step in 0..<200 {
            let wait = Duration.milliseconds(10 + step * 7 % 11)
            let offer = bench.play(
                own: .milliseconds(1), wait: wait, help: .microseconds(200), isUseful: false)
            if offer != nil, step >= 10 { offers += 1 }
        }
        #expect(offers == 0)
    }

    /// The other worker has stopped: the first help comes after as long as one virtual worker
    /// takes, and later help at once, as long as it is of use.
    @Test func aStragglerIsHelpedAtOnce() throws {
        var bench = Bench()
        for _ in 0..<50 {
            let offer = bench.play(
                own: .milliseconds(10), wait: .milliseconds(1), help: .milliseconds(5),
                isUseful: true)
            #expect(offer == nil)
        }
        let offer = bench.play(
            own: .milliseconds(10), wait: .seconds(1), help: .milliseconds(5), isUseful: true)
        let first = try #require(offer)
        #expect(first >= .milliseconds(10) && first <= .milliseconds(12))
        for _ in 0..<50 {
            let offer = bench.play(
                own: .milliseconds(10), wait: .seconds(1), help: .milliseconds(5), isUseful: true)
            #expect(offer == .zero)
        }
    }

    /// After help that was of no use, the next help is not offered at once.
    @Test func uselessHelpIsGivenUp() {
        var bench = Bench()
        for _ in 0..<20 {
            _ = bench.play(
                own: .milliseconds(10), wait: .seconds(1), help: .milliseconds(5), isUseful: true)
        }
        let last = bench.play(
            own: .milliseconds(10), wait: .milliseconds(40), help: .milliseconds(5),
            isUseful: false)
        #expect(last == .zero)
        let next = bench.play(
            own: .milliseconds(10), wait: .milliseconds(40), help: .milliseconds(5),
            isUseful: false)
        #expect(next.map { $0 >= .milliseconds(5) } ?? true)
    }

    /// One long pause does not make a worker patient for long.
    @Test func oneLongPauseIsNotUsual() throws {
        var bench = Bench()
        for step in 0..<20 {
            _ = bench.play(
                own: .milliseconds(2), wait: step == 10 ? .seconds(5) : .milliseconds(1),
                help: .milliseconds(2), isUseful: false)
        }
        let offer = bench.play(
            own: .milliseconds(2), wait: .seconds(1), help: .milliseconds(2), isUseful: true)
        #expect(try #require(offer) <= .milliseconds(8))
    }

    /// A shard that has no time to answer is not asked a thousand times a second, even when help
    /// was of use before.
    @Test(arguments: [false, true]) func questionsWithoutAnswersGetRarer(hasHelped: Bool) {
        var bench = Bench()
        for _ in 0..<20 where hasHelped {
            _ = bench.play(
                own: .milliseconds(10), wait: .seconds(1), help: .milliseconds(5), isUseful: true)
        }
        var actions = bench.machine.step(
            .nodeComputed(step: bench.step, node: .leaf(0)), now: bench.now)
        var questions = 0
        var wakes = 0
        let end = bench.now + .seconds(2)
        while bench.now < end, let deadline = bench.machine.nextDeadline {
            questions += actions.count { $0 == .inquire(shard: bench.shard, step: bench.step) }
            wakes += 1
            bench.now = max(bench.now + .milliseconds(1), deadline)
            actions = bench.machine.step(.tick, now: bench.now)
        }
        #expect((1...14).contains(questions) && wakes <= 16, "\(questions) \(wakes)")
    }

    /// Among many late workers, a worker does not help with one missing virtual worker after the
    /// other without end.
    @Test func helpWithOneAfterTheOtherIsBounded() {
        var bench = Bench(leafCount: 64)
        for _ in 0..<3 {
            _ = bench.play(
                own: .milliseconds(10), wait: .seconds(1), help: .milliseconds(5), isUseful: true)
        }
        var actions = bench.machine.step(
            .nodeComputed(step: bench.step, node: .leaf(0)), now: bench.now)
        var helped = 0
        for virtualWorker in VirtualWorkerIndex(1)..<VirtualWorkerIndex(64)
        where actions.contains(
            .inquire(shard: bench.shard, step: bench.step))
        {
            _ = bench.machine.step(
                .missing(step: bench.step, virtualWorkers: [virtualWorker]), now: bench.now)
            bench.now += .microseconds(10)
            helped += 1
            actions = bench.machine.step(
                .nodeComputed(step: bench.step, node: .leaf(virtualWorker)), now: bench.now)
        }
        #expect(helped == 2)
    }

    /// With one virtual worker there is nothing to help with, and no deadline to wake up for.
    @Test func aSingleVirtualWorkerAsksNobody() {
        var bench = Bench(leafCount: 1)
        bench.now += .milliseconds(1)
        _ = bench.machine.step(
            .nodeComputed(step: Step(0), node: TreeNode(level: 0, index: 0)), now: bench.now)
        #expect(bench.machine.nextDeadline == nil)
    }
}
