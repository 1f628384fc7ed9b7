import Glibc

/// An output with its own thread that writes to a file descriptor.
///
/// A caller never waits for a terminal that is not read, a full pipe or a disk that does not
/// answer. Texts that do not fit into the queue are left out and counted. The count is written in
/// their place once the descriptor takes text again. A reader that has closed its end stops the
/// output.
///
/// Threading: any thread may write. Texts of one thread stay in order.
public final class DeferredOutput: Sendable {
    /// The state of the output at one moment.
    public struct Condition: Hashable, Sendable {
        /// The number of texts left out so far.
        public var leftOutCount = 0
        /// The time since the write began that the thread is in; zero when it is in none.
        public var stalledFor: Duration = .zero
        /// Whether the reader has closed its end, or the descriptor takes no text any more.
        public var isBroken = false
    }

    private struct Piece {
        var bytes: [UInt8]
        /// The number of texts that were left out just before this one.
        var gap = 0
        var isReplaceable = false
    }

    private struct State {
        var pieces: [Piece] = []
        var byteCount = 0
        /// The number of texts left out since the last text that was taken.
        var gap = 0
        var leftOutCount = 0
        /// The time when the current write began; nil when the thread is not writing.
        var writingSince: Duration?
        var isThreadStarted = false
        var isBroken = false

        var isIdle: Bool { pieces.isEmpty && gap == 0 && writingSince == nil }
    }

    private let descriptor: Int32
    private let name: String
    private let bound: Int
    private let gapText: @Sendable (Int) -> String
    private let monitor = Monitor(State())

    /// Creates an output. Its thread starts with the first text.
    ///
    /// - Parameters:
    ///   - descriptor: File descriptor that the thread writes to.
    ///   - bound: Largest number of bytes that may wait.
    ///   - name: Name of the thread.
    ///   - gapText: Returns the text written in place of a number of texts left out, newline
    ///     included.
    public init(
        _ descriptor: Int32, bound: Int, name: String,
        gapText: @escaping @Sendable (Int) -> String
    ) {
        self.descriptor = descriptor
        self.bound = bound
        self.name = name
        self.gapText = gapText
    }

    /// Queues a text and returns at once.
    ///
    /// - Parameter isReplaceable: Whether the next text takes this text's place while this text
    ///   still waits. A replaced text does not count as left out.
    public func write(_ text: String, isReplaceable: Bool = false) {
        let bytes = Array(text.utf8)
        let startsThread = monitor.change { state -> Bool in
            if state.isBroken { return false }
            if let last = state.pieces.last, last.isReplaceable {
                state.pieces.removeLast()
                state.byteCount -= last.bytes.count
                state.gap += last.gap
            }
            guard state.byteCount + bytes.count <= bound else {
                if !isReplaceable {
                    state.gap += 1
                    state.leftOutCount += 1
                }
                return false
            }
            state.pieces.append(
                Piece(bytes: bytes, gap: state.gap, isReplaceable: isReplaceable))
            state.byteCount += bytes.count
            state.gap = 0
            defer { state.isThreadStarted = true }
            return !state.isThreadStarted
        }
        // The thread is never joined, since a write that hangs cannot be ended. It ends when the output
        // breaks, or with the process.
        if startsThread { _ = WorkThread(name: name) { self.run() } }
    }

    /// Waits until all texts are written or the output is broken, but not longer than `limit`.
    ///
    /// - Returns: False when the time was over first.
    @discardableResult
    public func flush(within limit: Duration) -> Bool {
        monitor.wait(within: limit) { $0.isIdle || $0.isBroken ? true : nil } ?? false
    }

    /// The present state of the output.
    public var condition: Condition {
        monitor.look { state in
            Condition(
                leftOutCount: state.leftOutCount,
                stalledFor: state.writingSince.map { SteadyClock.now - $0 } ?? .zero,
                isBroken: state.isBroken)
        }
    }

    private func run() {
        while true {
            let bytes = monitor.wait { state -> [UInt8]? in
                guard !state.pieces.isEmpty || state.gap > 0 else { return nil }
                state.writingSince = SteadyClock.now
                guard !state.pieces.isEmpty else {
                    defer { state.gap = 0 }
                    return Array(self.gapText(state.gap).utf8)
                }
                let piece = state.pieces.removeFirst()
                state.byteCount -= piece.bytes.count
                return (piece.gap > 0 ? Array(self.gapText(piece.gap).utf8) : []) + piece.bytes
            }
            let isWritten = Self.write(bytes, to: descriptor)
            monitor.change { state in
                state.writingSince = nil
                if isWritten { return }
                state.isBroken = true
                state.pieces = []
                state.byteCount = 0
            }
            if !isWritten { return }
        }
    }

    /// Writes the bytes and returns whether the output can take more. A full disk loses this text
    /// only; a reader that has closed its end, or any other error, loses all texts to come.
    private static func write(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        var offset = 0
        while offset < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress! + offset, bytes.count - offset)
            }
            if count > 0 {
                offset += count
                continue
            }
            switch errno {
            case EINTR: continue
            case EAGAIN:
                // Another user of the descriptor has made it non-blocking.
                var item = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                _ = poll(&item, 1, 1000)
            case ENOSPC, EDQUOT, EFBIG: return true
            default: return false
            }
        }
        return true
    }
}
