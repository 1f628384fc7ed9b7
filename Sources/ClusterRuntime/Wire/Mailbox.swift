import Synchronization
import ZeroMQ

/// A bounded list of elements that other threads hand to a socket thread, with a wake-up.
///
/// Threading: any thread.
final class Mailbox<Element: Sendable>: Sendable {
    private let elements = Mutex<[Element]>([])
    private let waker: Waker
    private let bound: Int

    /// Creates an empty mailbox.
    ///
    /// - Parameters:
    ///   - waker: wakes the receiving thread after each post.
    ///   - bound: the number of elements that can wait.
    init(waker: Waker, bound: Int = 1 << 16) {
        self.waker = waker
        self.bound = bound
    }

    /// Adds an element and wakes the receiving thread. Returns false when the mailbox is full,
    /// which means that its thread has been stuck for a long time.
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

    /// Removes and returns everything posted since the last call, in order.
    func takeAll() -> [Element] {
        elements.withLock { elements in
            defer { elements.removeAll(keepingCapacity: true) }
            return elements
        }
    }
}
