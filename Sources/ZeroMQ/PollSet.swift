import Glibc

/// Waits for several sockets, monitors and file descriptors, and for a wake-up by other threads.
///
/// An event loop owns one poll set. It hands the poll set's `waker` to every thread that posts work
/// to the loop:
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
/// Threading: only the thread that owns the sockets may call `wait`. Any thread may use `waker`.
public struct PollSet: ~Copyable {
    /// Ends a wait from another thread.
    public let waker: Waker
    private var descriptors: [pollfd] = []

    /// Creates a poll set and its waker.
    ///
    /// - Throws: `.tooManyOpen` when the process has no file descriptor left for the waker.
    public init() throws(ZeroMQError) { waker = try Waker() }

    /// Waits until an item is ready, `waker.wake()` is called, a signal arrives, or `timeout` has
    /// passed.
    ///
    /// - Parameters:
    ///   - items: the items to wait for.
    ///   - timeout: the longest wait. Nil waits without limit; zero does not wait.
    /// - Returns: the states that were found. After a signal (EINTR) nothing was found.
    /// - Throws: `.contextTerminated` after `Context.shutdown()`.
    public mutating func wait(
        for items: [PollItem], timeout: Duration?
    ) throws(ZeroMQError) -> PollResult {
        var found: [PollItem.Interest] = []
        found.reserveCapacity(items.count)
        descriptors.removeAll(keepingCapacity: true)
        for item in items {
            descriptors.append(try item.descriptor())
            found.append(try item.known())
        }
        descriptors.append(pollfd(fd: waker.fileDescriptor, events: Int16(POLLIN), revents: 0))
        let milliseconds = timeout.map { $0.millisecondsForLibrary }
        let end = milliseconds.map { ContinuousClock.now + .milliseconds(Int64($0)) }
        var remaining = milliseconds ?? -1
        defer { for item in items { item.waited() } }
        while true {
            let isFound = found.contains { !$0.isEmpty }
            let readyCount = try waitForDescriptors(isFound ? 0 : remaining)
            for index in items.indices where readyCount > 0 && descriptors[index].revents != 0 {
                found[index] = try items[index].found(descriptors[index].revents)
            }
            let hasWakeUp = readyCount > 0 && descriptors[items.count].revents != 0
            let result = PollResult(found: found, wasWoken: hasWakeUp && waker.clear())
            // A socket's signal need not concern the states that are waited for.
            guard readyCount > 0, result.isEmpty else { return result }
            guard let end else { continue }
            let rest = ContinuousClock.now.duration(to: end)
            if rest <= .zero { return result }
            remaining = rest.millisecondsForLibrary
        }
    }

    /// Returns the number of descriptors that are ready; 0 when time ran out or a signal arrived.
    private mutating func waitForDescriptors(_ milliseconds: Int32) throws(ZeroMQError) -> Int32 {
        let count = descriptors.count
        let outcome = try descriptors.withUnsafeMutableBufferPointer {
            buffer throws(ZeroMQError) in
            try LibraryCall.attempt("wait for \(count) descriptors", repeatWhenInterrupted: false) {
                poll(buffer.baseAddress, nfds_t(count), milliseconds)
            }
        }
        if case .done(let readyCount) = outcome { return readyCount }
        return 0
    }
}

/// The steps of a wait for one item.
extension PollItem {
    /// Returns the descriptor to poll for this item.
    fileprivate func descriptor() throws(ZeroMQError) -> pollfd {
        switch target {
        case .socket(let handle):
            return pollfd(fd: try handle.pollDescriptor(), events: Int16(POLLIN), revents: 0)
        case .fileDescriptor(let number):
            var events: Int32 = 0
            if interest.contains(.readable) { events |= POLLIN }
            if interest.contains(.writable) { events |= POLLOUT }
            return pollfd(fd: number, events: Int16(events), revents: 0)
        }
    }

    /// Returns the states that hold before any waiting.
    fileprivate func known() throws(ZeroMQError) -> Interest {
        guard case .socket(let handle) = target else { return [] }
        return try handle.readiness().intersection(interest)
    }

    /// Returns the states that hold after the item's descriptor reported `events`.
    fileprivate func found(_ events: Int16) throws(ZeroMQError) -> Interest {
        switch target {
        case .socket(let handle): return try handle.readinessAfterSignal().intersection(interest)
        case .fileDescriptor:
            var found: Interest = []
            if events & Int16(POLLIN) != 0 { found.insert(.readable) }
            if events & Int16(POLLOUT) != 0 { found.insert(.writable) }
            if events & ~Int16(POLLIN | POLLOUT) != 0 { found.insert(.failed) }
            return found
        }
    }

    /// Tells a socket that the wait has ended.
    fileprivate func waited() {
        if case .socket(let handle) = target { handle.waited() }
    }
}

/// The result of a wait: one entry for each item, in the order in which the items were given.
public struct PollResult: Sendable {
    /// The states that each item is ready for; empty for an item that is not ready.
    public let found: [PollItem.Interest]
    /// Whether `Waker.wake()` was called since the last wait that reported a call.
    public let wasWoken: Bool

    /// Returns whether the item at this index is ready for anything.
    public func isReady(_ index: Int) -> Bool { !found[index].isEmpty }

    /// Whether nothing was found, because time ran out or a signal arrived.
    public var isEmpty: Bool { !wasWoken && found.allSatisfy(\.isEmpty) }
}
