import Synchronization

/// Work handed from one thread to several others, in order, with a bound.
public final class BlockingQueue<Element: Sendable>: Sendable {
    private struct State {
        var elements: [Element] = []
        var head = 0
        var isClosed = false

        mutating func popFirst() -> Element? {
            guard head < elements.count else { return nil }
            let element = elements[head]
            head += 1
            // Even a queue that is never empty gives back the places it is done with.
            if head * 2 >= elements.count {
                elements.removeFirst(head)
                head = 0
            }
            return element
        }
    }

    private let monitor = Monitor(State())
    private let bound: Int
    /// Rises with every push and close: what a thread that looks for work without sleeping reads.
    private let changes = Atomic(0)

    public init(bound: Int) { self.bound = bound }

    /// Adds an element; false when the queue is full or closed.
    @discardableResult
    public func push(_ element: Element) -> Bool {
        defer { changes.add(1, ordering: .releasing) }
        return monitor.change { state in
            guard !state.isClosed, state.elements.count - state.head < bound else { return false }
            state.elements.append(element)
            return true
        }
    }

    /// The next element, as soon as there is one; nil when the queue was closed and is empty.
    public func pop() -> Element? {
        monitor.wait { state -> Element?? in
            if let element = state.popFirst() { return .some(element) }
            return state.isClosed ? .some(nil) : nil
        }
    }

    /// The same, for a thread that expects the next element soon: it looks for a while before it
    /// sleeps.
    ///
    /// - Parameter meanwhile: called again and again while it looks, and once where it does not; shall
    ///   be short.
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

    public var isEmpty: Bool { monitor.look { $0.head == $0.elements.count } }

    /// Drops the elements that are to be dropped.
    public func removeAll(where isDropped: (Element) -> Bool) {
        // Nobody waits for room.
        monitor.look { state in
            guard state.head < state.elements.count else { return }
            state.elements = state.elements[state.head...].filter { !isDropped($0) }
            state.head = 0
        }
    }

    /// Whoever waits is let go once the queue is empty.
    public func close() {
        monitor.change { $0.isClosed = true }
        changes.add(1, ordering: .releasing)
    }
}
