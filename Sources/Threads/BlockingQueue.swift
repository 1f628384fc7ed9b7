import Synchronization

/// A bounded first-in, first-out queue that hands work from one thread to several others.
///
/// Threading: any thread.
public final class BlockingQueue<Element: Sendable>: Sendable {
    private struct State {
        var elements: [Element] = []
        var head = 0
        var isClosed = false

        mutating func popFirst() -> Element? {
            guard head < elements.count else { return nil }
            let element = elements[head]
            head += 1
            // A queue that is never empty must free the places of removed elements too.
            if head * 2 >= elements.count {
                elements.removeFirst(head)
                head = 0
            }
            return element
        }
    }

    private let monitor = Monitor(State())
    private let bound: Int
    /// A counter that rises with every push and with `close()`. A spinning thread reads it.
    private let changes = Atomic(0)

    /// Creates an empty queue that holds at most `bound` elements.
    public init(bound: Int) { self.bound = bound }

    /// Appends an element.
    ///
    /// - Returns: False when the queue is full or closed.
    @discardableResult
    public func push(_ element: Element) -> Bool {
        defer { changes.add(1, ordering: .releasing) }
        return monitor.change { state in
            guard !state.isClosed, state.elements.count - state.head < bound else { return false }
            state.elements.append(element)
            return true
        }
    }

    /// Removes and returns the first element, waiting for one while the queue is empty. Returns nil
    /// when the queue is closed and empty.
    public func pop() -> Element? {
        monitor.wait { state -> Element?? in
            if let element = state.popFirst() { return .some(element) }
            return state.isClosed ? .some(nil) : nil
        }
    }

    /// Removes and returns the first element, for a thread that expects one soon. The thread spins
    /// for a while before it sleeps. Returns nil when the queue is closed and empty.
    ///
    /// - Parameters:
    ///   - vigil: State of the caller's spin-wait.
    ///   - meanwhile: Function called when the queue is empty: once before the wait and once before
    ///     each look of the spin-wait. It must be short.
    public func pop(_ vigil: inout Vigil, meanwhile: () -> Void = {}) -> Element? {
        let before = changes.load(ordering: .acquiring)
        if let found = monitor.look({ state -> Element?? in
            if let element = state.popFirst() { return .some(element) }
            return state.isClosed ? .some(nil) : nil
        }) {
            return found
        }
        meanwhile()
        vigil.keep(until: {
            meanwhile()
            return changes.load(ordering: .acquiring) != before
        })
        return pop()
    }

    /// Whether the queue holds no element at this moment.
    public var isEmpty: Bool { monitor.look { $0.head == $0.elements.count } }

    /// Removes every element for which `isDropped` returns true.
    public func removeAll(where isDropped: (Element) -> Bool) {
        // No thread waits for room in the queue, so no thread is woken.
        monitor.look { state in
            guard state.head < state.elements.count else { return }
            state.elements = state.elements[state.head...].filter { !isDropped($0) }
            state.head = 0
        }
    }

    /// Closes the queue. Elements that are left can still be removed; after them every waiting
    /// thread gets nil.
    public func close() {
        monitor.change { $0.isClosed = true }
        changes.add(1, ordering: .releasing)
    }
}
