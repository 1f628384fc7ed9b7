import CZeroMQ
import Glibc

/// Sends and receives whole messages.
extension SocketHandle {
    /// Offers a message without waiting. Either all frames are sent or none.
    ///
    /// libzmq decides by the first frame: high-water marks count whole messages, and the receiver
    /// sees a message only when its last frame is written. The one remaining case is a connection
    /// that breaks between two frames. DEALER and PUSH then report EAGAIN once and swallow the
    /// remaining frames, which must therefore still be offered. PAIR reports EAGAIN for each frame;
    /// the rest is not offered, because a new peer must not get it. In both cases nothing has
    /// arrived.
    ///
    /// Source: lb.cpp, router.cpp and pair.cpp of libzmq 4.3.
    func send(_ frames: [Frame]) throws(ZeroMQError) -> SendOutcome {
        let socket = use("send")
        guard frames.count >= (kind == .router ? 2 : 1) else {
            fatalError(
                "a message of a \(kind) socket needs at least \(kind == .router ? 2 : 1) frames, "
                    + "actual \(frames.count)")
        }
        var wasLost = false
        for index in frames.indices {
            let isLast = index == frames.count - 1
            let outcome = try send(frames[index], on: socket, isLast: isLast)
            switch outcome {
            case .sent: continue
            case .unreachable: return .unreachable
            case .wouldBlock where index == 0 || kind == .pair: return .wouldBlock
            case .wouldBlock: wasLost = true
            }
        }
        return wasLost ? .wouldBlock : .sent
    }

    /// Offers one frame without waiting.
    private func send(
        _ frame: Frame, on socket: UnsafeMutableRawPointer, isLast: Bool
    ) throws(ZeroMQError) -> SendOutcome {
        // `share` initialises `outgoing` anew, so the empty message in it is closed first.
        zmq_msg_close(outgoing)
        frame.share(into: outgoing)
        let flags = isLast ? ZMQ_DONTWAIT : ZMQ_DONTWAIT | ZMQ_SNDMORE
        defer {
            // zmq_msg_send takes over a message when it succeeds and leaves an empty one. When it
            // fails, the message still belongs to this handle. Closing it frees the frame's memory
            // now rather than at the next send.
            zmq_msg_close(outgoing)
            zmq_msg_init(outgoing)
        }
        do {
            let outcome = try LibraryCall.attempt("send a message on a \(kind) socket") {
                zmq_msg_send(outgoing, socket, flags)
            }
            if case .done = outcome { return .sent }
            return .wouldBlock
        } catch {
            if error.code == .hostUnreachable { return .unreachable }
            throw error
        }
    }

    /// Offers a message repeatedly until it is taken, unreachable or `deadline` has passed.
    func send(
        _ frames: [Frame], until deadline: ContinuousClock.Instant
    ) throws(ZeroMQError) -> SendOutcome {
        while true {
            let outcome = try send(frames)
            if outcome != .wouldBlock || ContinuousClock.now >= deadline { return outcome }
            if kind == .router {
                // A ROUTER is ready as soon as any peer is, which need not be the peer in question.
                usleep(1000)
            } else {
                try wait(for: .writable, until: deadline)
            }
        }
    }

    /// Takes the next whole message without waiting; returns nil when there is none, or when
    /// `Socket.maximumDropCountPerReceive` messages in a row were dropped.
    func receive() throws(ZeroMQError) -> [Frame]? {
        let socket = use("receive")
        for _ in 0..<Socket.maximumDropCountPerReceive {
            switch try receiveMessage(from: socket) {
            case .none: return nil
            case .message(let frames): return frames
            case .dropped: droppedMessageCount += 1
            }
        }
        return nil
    }

    /// Waits until `deadline` for a message; returns nil when none came.
    func receive(until deadline: ContinuousClock.Instant) throws(ZeroMQError) -> [Frame]? {
        while true {
            if let frames = try receive() { return frames }
            if ContinuousClock.now >= deadline { return nil }
            try wait(for: .readable, until: deadline)
        }
    }

    private enum Received {
        case none
        case message([Frame])
        case dropped
    }

    /// Receives all parts of one message and drops a message with too many parts.
    private func receiveMessage(
        from socket: UnsafeMutableRawPointer
    ) throws(ZeroMQError) -> Received {
        var frames: [Frame] = []
        var partCount = 0
        while true {
            let outcome = try LibraryCall.attempt("receive a message on a \(kind) socket") {
                zmq_msg_recv(incoming, socket, ZMQ_DONTWAIT)
            }
            // libzmq hands out whole messages, so no part can be missing after the first one. If
            // one were missing, the incomplete message would be dropped.
            guard case .done = outcome else { return partCount == 0 ? .none : .dropped }
            partCount += 1
            let hasMore = zmq_msg_more(incoming) != 0
            if partCount <= Socket.maximumPartCount {
                frames.append(Frame(moving: incoming))
            } else {
                frames.removeAll()
                zmq_msg_close(incoming)
                zmq_msg_init(incoming)
            }
            if !hasMore {
                return partCount <= Socket.maximumPartCount ? .message(frames) : .dropped
            }
        }
    }
}
