/// Lets nobody be told what the journal does not hold yet.
///
/// The journal is written by a thread of its own, since a disk may take its time, or hang. What was
/// decided after a line waits here until that line is on disk, in order. Signs of life and answers
/// about the run tell nothing new, so they go out meanwhile: heartbeats, `status` and steps go on
/// while a disk hangs.
///
/// Bounded: a message that waits already does not wait twice, and of signs of life one a peer waits.
public struct DurabilityGate: Sendable {
    private struct Held {
        /// The line of the journal that it waits for.
        var line: Int
        var action: CoordinatorMachine.Action
    }

    /// Lines that were handed to the disk.
    public private(set) var lineCount = 0
    /// Of these, the ones that are on it.
    public private(set) var durableCount = 0
    private var held: [Held] = []
    /// The step limit that members were told last.
    private var toldLimit: Step?

    public init() {}

    public var isOpen: Bool { durableCount == lineCount }
    public var heldCount: Int { held.count }

    /// Whether the end of the run waits for the disk.
    public var holdsEnd: Bool { held.contains { if case .end = $0.action { true } else { false } } }

    /// Takes what the machine wants done.
    ///
    /// - Returns: what may be done now.
    public mutating func pass(
        _ action: CoordinatorMachine.Action
    ) -> [CoordinatorMachine.Action] {
        switch action {
        case .journal:
            lineCount += 1
            return [action]
        case .record, .writeCheckpoint, .began, .evaluated, .note: return [action]
        case .send(let message, let peer): return pass(message, to: peer)
        case .end:
            if isOpen { return [action] }
            held.append(Held(line: lineCount, action: action))
            return []
        }
    }

    private mutating func pass(
        _ message: ControlMessage, to peer: PeerIdentity
    ) -> [CoordinatorMachine.Action] {
        let action = CoordinatorMachine.Action.send(message, to: peer)
        if isOpen {
            noteLimit(of: message)
            return [action]
        }
        switch message {
        case .status, .introduce, .refused: return [action]
        case .alive(var alive):
            held.removeAll { held in
                if case .send(.alive, let other) = held.action { other == peer } else { false }
            }
            held.append(Held(line: lineCount, action: action))
            guard let toldLimit else { return [] }
            alive.stepLimit = toldLimit
            return [.send(.alive(alive), to: peer)]
        default:
            if !held.contains(where: { $0.action == action }) {
                held.append(Held(line: lineCount, action: action))
            }
            return []
        }
    }

    /// - Parameter count: lines of the journal that are on disk, from the first on.
    /// - Returns: what may be done now, in order.
    public mutating func becameDurable(_ count: Int) -> [CoordinatorMachine.Action] {
        durableCount = min(max(durableCount, count), lineCount)
        let free = held.prefix { $0.line <= durableCount }.map(\.action)
        held.removeFirst(free.count)
        for case .send(let message, _) in free { noteLimit(of: message) }
        return free
    }

    private mutating func noteLimit(of message: ControlMessage) {
        switch message {
        case .alive(let alive): toldLimit = alive.stepLimit
        case .assignment(let assignment): toldLimit = assignment.stepLimit
        case .host(let host): toldLimit = host.stepLimit
        default: break
        }
    }
}
