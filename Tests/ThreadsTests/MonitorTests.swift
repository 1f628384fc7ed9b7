import Synchronization
import Testing
import Threads

@Suite(.timeLimit(.minutes(1))) struct MonitorTests {
    @Test func changesExcludeOneAnother() {
        let counter = Monitor(0)
        let threads = (0..<8).map { _ in
            WorkThread {
                for _ in 0..<20_000 { counter.change { $0 += 1 } }
            }
        }
        for thread in threads { thread.join() }
        #expect(counter.change { $0 } == 160_000)
    }

    @Test func changeGivesItsValueBack() {
        let monitor = Monitor(["a"])
        let count = monitor.change { state in
            state.append("b")
            return state.count
        }
        #expect(count == 2)
    }

    @Test func waitReturnsAtOnceWhenItMay() {
        let monitor = Monitor(3)
        #expect(monitor.wait { $0 == 3 ? "three" : nil } == "three")
    }

    /// Two threads alternate; each turn needs the other's change, so a lost wake-up would hang.
    @Test func everyChangeWakesWhoWaits() {
        let turn = Monitor(0)
        let rounds = 5_000
        let other = WorkThread {
            for round in 0..<rounds {
                turn.wait { state -> Void? in
                    guard state == 2 * round + 1 else { return nil }
                    state += 1
                    return ()
                }
                turn.change { _ in }
            }
        }
        for round in 0..<rounds {
            turn.change { $0 += 1 }
            turn.wait { state -> Void? in state == 2 * round + 2 ? () : nil }
        }
        other.join()
        #expect(turn.change { $0 } == 2 * rounds)
    }

    @Test func oneChangeLetsAllWaitersGo() {
        let gate = Monitor(false)
        let passed = Atomic(0)
        let threads = (0..<8).map { _ in
            WorkThread {
                gate.wait { isOpen -> Void? in isOpen ? () : nil }
                passed.add(1, ordering: .relaxed)
            }
        }
        gate.change { $0 = true }
        for thread in threads { thread.join() }
        let count = passed.load(ordering: .relaxed)
        #expect(count == 8)
    }

    @Test func stateIsReleasedWithTheMonitor() {
        final class Token: Sendable {}
        weak var held: Token?
        do {
            let token = Token()
            held = token
            let monitor = Monitor(token)
            #expect(monitor.change { $0 === token })
        }
        #expect(held == nil)
    }
}
