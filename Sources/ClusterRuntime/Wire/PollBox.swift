import ZeroMQ

/// A poll set as an object, so that a loop and the code that creates the loop can share it.
final class PollBox {
    private var poll: PollSet
    /// Wakes the poll set from any thread.
    let waker: Waker

    /// Creates a poll set without items.
    init() throws(ZeroMQError) {
        poll = try PollSet()
        waker = poll.waker
    }

    /// Waits until an item is ready, the waker is used, or the time is over; nil waits without
    /// limit.
    func wait(for items: [PollItem], timeout: Duration?) throws(ZeroMQError) -> PollResult {
        try poll.wait(for: items, timeout: timeout)
    }
}
