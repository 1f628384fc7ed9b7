import CZeroMQ

/// Waits for several sockets, monitors and file descriptors, and for a wake-up from other threads.
///
/// An event loop owns one poll set and hands its `waker` to whoever posts work to the loop:
///
/// ```swift
/// var pollSet = try PollSet()
/// while running {
///     let items = [control.pollItem, monitor.pollItem] + shards.map(\.pollItem)
///     let result = try pollSet.wait(for: items, timeout: timers.untilNext)
///     if result.wasWoken { mailbox.drain() }
///     if result.isReady(0) { ... }
/// }
/// ```
///
/// Threading: `wait` may be called by one thread, the one that owns the sockets; `waker` by any.
public struct PollSet: ~Copyable {
    /// Ends a wait from another thread.
    public let waker: Waker
    private var nativeItems: [zmq_pollitem_t] = []

    /// - Throws: `.tooManyOpen` when the process has no file descriptor left for the waker.
    public init() throws(ZeroMQError) { waker = try Waker() }

    /// Waits until an item is ready, `waker.wake()` is called, a signal arrives, or `timeout` has
    /// passed.
    ///
    /// - Parameter timeout: nil waits without limit, zero only looks.
    /// - Returns: what was found. After a signal (EINTR) that is nothing.
    /// - Throws: `.contextTerminated` after `Context.shutdown()`.
    public mutating func wait(
        for items: [PollItem], timeout: Duration?
    ) throws(ZeroMQError) -> PollResult {
        nativeItems.removeAll(keepingCapacity: true)
        for item in items { nativeItems.append(item.native) }
        nativeItems.append(PollItem(fileDescriptor: waker.fileDescriptor).native)
        let milliseconds = timeout.map { Int($0.millisecondsForLibrary) } ?? -1
        let outcome = try waitForNativeItems(milliseconds)
        guard case .done(let readyCount) = outcome, readyCount > 0 else {
            return PollResult(found: Array(repeating: [], count: items.count), wasWoken: false)
        }
        let found = nativeItems.dropLast().map { PollItem.Interest(rawValue: $0.revents) }
        let hasWakeUp = nativeItems[items.count].revents != 0
        return PollResult(found: found, wasWoken: hasWakeUp && waker.clear())
    }

    private mutating func waitForNativeItems(
        _ milliseconds: Int
    ) throws(ZeroMQError) -> LibraryCall.Outcome {
        let count = Int32(nativeItems.count)
        return try nativeItems.withUnsafeMutableBufferPointer { buffer throws(ZeroMQError) in
            try LibraryCall.attempt("wait for \(count) sockets", repeatWhenInterrupted: false) {
                zmq_poll(buffer.baseAddress, count, milliseconds)
            }
        }
    }
}

/// What a wait found: one entry for each item, in the order they were given.
public struct PollResult: Sendable {
    /// What each item is ready for; empty where it is not.
    public let found: [PollItem.Interest]
    /// Whether `Waker.wake()` was called since the last wait that said so.
    public let wasWoken: Bool

    /// Whether the item at this index is ready for anything.
    public func isReady(_ index: Int) -> Bool { !found[index].isEmpty }

    /// Whether nothing was found: time ran out or a signal arrived.
    public var isEmpty: Bool { !wasWoken && found.allSatisfy(\.isEmpty) }
}
