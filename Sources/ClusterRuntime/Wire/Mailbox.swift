import Synchronization
import ZeroMQ

/// What other threads hand to a socket thread: a bounded list and a wake-up.
final class Mailbox<Element: Sendable>: Sendable {
    private let elements = Mutex<[Element]>([])
    private let waker: Waker
    private let bound: Int

    init(waker: Waker, bound: Int = 1 << 16) {
        self.waker = waker
        self.bound = bound
    }

    /// False when the mailbox is full, which means that its thread has been stuck for long.
    @discardableResult
    func post(_ element: Element) -> Bool {
        let isIn = elements.withLock { elements in
            guard elements.count < bound else { return false }
            elements.append(element)
            return true
        }
        waker.wake()
        return isIn
    }

    /// Everything posted since the last call, in order.
    func takeAll() -> [Element] {
        elements.withLock { elements in
            defer { elements.removeAll(keepingCapacity: true) }
            return elements
        }
    }
}
