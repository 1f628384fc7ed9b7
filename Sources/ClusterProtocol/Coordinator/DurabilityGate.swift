/// Holds back what the coordinator decided until the journal line before it is on disk.
///
/// A thread of its own writes the journal, since a disk may be slow or hang. What was decided after a
/// line waits here, in order, until that line is on disk. Signs of life and answers about the run tell
/// nothing new, so they are sent at once: heartbeats, `status` and steps go on while a disk hangs.
///
/// Memory is bounded: a message that waits already does not wait twice, and one sign of life waits for
/// each peer at most.
public struct DurabilityGate: Sendable {
    /// An action that waits for the disk.
    private struct Held {
        /// The journal line that the action waits for, counted from 1.
        var line: Int
        var action: CoordinatorMachine.Action
    }

    /// The number of lines handed to the disk so far.
    public private(set) var lineCount = 0
    /// How many of these lines are on disk.
    public private(set) var durableCount = 0
    private var held: [Held] = []
    /// The step limit that members were told last.
    private var toldLimit: Step?

    /// Creates an open gate.
    public init() {}

    /// Whether all lines are on disk.
    public var isOpen: Bool { durableCount == lineCount }
    /// The number of actions that wait.
    public var heldCount: Int { held.count }

    /// Whether the end of the run waits for the disk.
    public var holdsEnd: Bool { held.contains { if case .end = $0.action { true } else { false } } }

    /// Takes an action that the machine wants done.
    ///
    /// - Returns: The actions that may be done now, in order.
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
            // Steps from the limit on may have a rate that is not on disk yet.
            let told = alive.rates?.filter { $0.from < toldLimit } ?? []
            alive.rates = told.isEmpty ? nil : told
            return [.send(.alive(alive), to: peer)]
        default:
            if !held.contains(where: { $0.action == action }) {
                held.append(Held(line: lineCount, action: action))
            }
            return []
        }
    }

    /// Takes note that lines are on disk.
    ///
    /// - Parameter count: How many lines of the journal, from the first on, are on disk.
    /// - Returns: The actions that may be done now, in order.
    public mutating func becameDurable(_ count: Int) -> [CoordinatorMachine.Action] {
        durableCount = min(max(durableCount, count), lineCount)
        let free = held.prefix { $0.line <= durableCount }.map(\.action)
        held.removeFirst(free.count)
        for case .send(let message, _) in free { noteLimit(of: message) }
        return free
    }

    /// Remembers the step limit that a message tells a member.
    private mutating func noteLimit(of message: ControlMessage) {
        switch message {
        case .alive(let alive): toldLimit = alive.stepLimit
        case .assignment(let assignment): toldLimit = assignment.stepLimit
        case .host(let host): toldLimit = host.stepLimit
        default: break
        }
    }
}
