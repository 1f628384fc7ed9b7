import ClusterProtocol
import Testing

@Suite struct DurabilityGateTests {
    private typealias Action = CoordinatorMachine.Action

    private static let peer = PeerIdentity(rawValue: "worker-a")
    private static let other = PeerIdentity(rawValue: "worker-b")

    private static func alive(_ limit: Int, to peer: PeerIdentity = peer) -> Action {
        .send(
            .alive(Alive(stepLimit: Step(limit), recorded: Step(3), workerCount: 1)), to: peer)
    }

    private static func snapshot(_ step: Int) -> Action {
        .send(.snapshot(Snapshot(step: Step(step))), to: peer)
    }

    private static func journal(_ step: Int) -> Action { .journal(.checkpoint(Step(step))) }

    @Test func withoutTheJournalNothingWaits() {
        var gate = DurabilityGate()
        for action in [Self.alive(5), Self.snapshot(1), .record(StepReport(step: Step(0), totals: .init()))] {
            #expect(gate.pass(action) == [action])
        }
        #expect(gate.isOpen && gate.heldCount == 0)
    }

    /// Each message waits for the lines before it, and for no later one.
    @Test func messagesWaitForTheLinesBeforeThem() {
        var gate = DurabilityGate()
        #expect(gate.pass(Self.journal(1)) == [Self.journal(1)])
        #expect(gate.pass(Self.snapshot(1)) == [])
        #expect(gate.pass(Self.journal(2)) == [Self.journal(2)])
        #expect(gate.pass(Self.snapshot(2)) == [])
        #expect(gate.becameDurable(1) == [Self.snapshot(1)])
        #expect(!gate.isOpen)
        #expect(gate.becameDurable(1) == [])
        #expect(gate.becameDurable(2) == [Self.snapshot(2)])
        #expect(gate.isOpen)
        #expect(gate.pass(Self.snapshot(3)) == [Self.snapshot(3)])
    }

    /// Signs of life go out at once with the limit told before; the new limit follows later.
    @Test func signsOfLifeTellNothingNew() {
        var gate = DurabilityGate()
        #expect(gate.pass(Self.alive(5)) == [Self.alive(5)])
        _ = gate.pass(Self.journal(1))
        for limit in [9, 9, 10] {
            #expect(gate.pass(Self.alive(limit)) == [Self.alive(5)])
            #expect(gate.pass(Self.alive(limit, to: Self.other)) == [Self.alive(5, to: Self.other)])
        }
        #expect(gate.heldCount == 2)
        let free = gate.becameDurable(1)
        #expect(free == [Self.alive(10), Self.alive(10, to: Self.other)])
    }

    /// While no limit was told yet, no sign of life goes out.
    @Test func theFirstLimitIsNotToldEarly() {
        var gate = DurabilityGate()
        _ = gate.pass(Self.journal(1))
        #expect(gate.pass(Self.alive(9)) == [])
        #expect(gate.becameDurable(1) == [Self.alive(9)])
    }

    @Test func theEndWaits() {
        var gate = DurabilityGate()
        _ = gate.pass(.journal(.finished(step: Step(1), exitCode: 0)))
        let end = Action.end(
            .init(
                step: Step(1), exitCode: 0, reason: "finished", trainingSeconds: 0, workerCount: 1,
                instructionSet: "generic"))
        #expect(gate.pass(end) == [] && gate.holdsEnd)
        #expect(gate.becameDurable(1) == [end] && !gate.holdsEnd)
    }

    /// A message that is repeated while a disk hangs is kept once.
    @Test func whatWaitsIsBounded() {
        var gate = DurabilityGate()
        _ = gate.pass(Self.journal(1))
        for _ in 0..<1000 {
            _ = gate.pass(Self.snapshot(1))
            _ = gate.pass(Self.alive(4))
        }
        #expect(gate.heldCount == 2)
    }

    @Test func questionsAreAnsweredMeanwhile() {
        var gate = DurabilityGate()
        _ = gate.pass(Self.journal(1))
        for message in [ControlMessage.introduce(Introduce()), .refused(Failure(text: "no", exitCode: 65))] {
            let action = Action.send(message, to: Self.peer)
            #expect(gate.pass(action) == [action])
        }
    }
}
