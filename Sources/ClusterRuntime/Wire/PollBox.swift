import ZeroMQ

/// A poll set as an object, so that a loop and its maker can share it.
final class PollBox {
    private var poll: PollSet
    let waker: Waker

    init() throws(ZeroMQError) {
        poll = try PollSet()
        waker = poll.waker
    }

    func wait(for items: [PollItem], timeout: Duration?) throws(ZeroMQError) -> PollResult {
        try poll.wait(for: items, timeout: timeout)
    }
}
