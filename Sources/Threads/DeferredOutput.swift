import Glibc

/// A file descriptor that a thread of its own writes to.
///
/// Whoever has something to say never waits for a terminal that nobody reads, a full pipe or a disk
/// that does not answer. What does not fit the queue is left out and counted; the count is written
/// where the gap is, once the descriptor takes text again. A reader that is gone ends the output.
///
/// Threading: any thread. Texts of one thread stay in order.
public final class DeferredOutput: Sendable {
    /// How the output is doing.
    public struct Condition: Hashable, Sendable {
        /// Texts that were left out so far.
        public var leftOutCount = 0
        /// How long the thread has been at the same write.
        public var stalledFor: Duration = .zero
        /// The reader is gone, or the descriptor takes nothing any more.
        public var isBroken = false
    }

    private struct Piece {
        var bytes: [UInt8]
        /// Texts that were left out before this one.
        var gap = 0
        var isReplaceable = false
    }

    private struct State {
        var pieces: [Piece] = []
        var byteCount = 0
        /// Texts left out since the last one that was taken.
        var gap = 0
        var leftOutCount = 0
        /// When the write began that the thread is at.
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

    /// - Parameters:
    ///   - bound: bytes that wait at most.
    ///   - name: of the thread.
    ///   - gapText: what is written, newline included, in place of so many texts left out.
    public init(
        _ descriptor: Int32, bound: Int, name: String,
        gapText: @escaping @Sendable (Int) -> String
    ) {
        self.descriptor = descriptor
        self.bound = bound
        self.name = name
        self.gapText = gapText
    }

    /// Hands a text over; returns at once.
    ///
    /// - Parameter isReplaceable: the next text takes its place while it waits, and nobody misses it.
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
        // It ends with the process: nobody can end a write that hangs.
        if startsThread { _ = WorkThread(name: name) { self.run() } }
    }

    /// Waits until all is written, but not longer than `limit`.
    ///
    /// - Returns: whether all is.
    @discardableResult
    public func flush(within limit: Duration) -> Bool {
        monitor.wait(within: limit) { $0.isIdle || $0.isBroken ? true : nil } ?? false
    }

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

    /// Whether the output takes more: a full disk loses this text, a reader that is gone all.
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
                // Somebody else has made the descriptor one that does not wait.
                var item = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                _ = poll(&item, 1, 1000)
            case ENOSPC, EDQUOT, EFBIG: return true
            default: return false
            }
        }
        return true
    }
}
