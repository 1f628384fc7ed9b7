import CZeroMQ

/// What a `PollSet` asks of a socket.
///
/// A socket's descriptor tells of changes that libzmq's threads bring about, once each, and of nothing
/// else: what a call on the socket has changed or taken note of shows up in its events alone. So the
/// events are looked at after every use and every signal, and are known otherwise, without a call.
///
/// Source: zmq_getsockopt(3), ZMQ_FD and ZMQ_EVENTS.
extension SocketHandle {
    /// What to wait for when nothing is ready.
    func pollDescriptor() throws(ZeroMQError) -> Int32 {
        checkThread("poll")
        if let descriptor { return descriptor }
        let found = try option(ZMQ_FD)
        descriptor = found
        return found
    }

    /// What the socket is ready for, as far as it can have changed without a signal.
    func readiness() throws(ZeroMQError) -> PollItem.Interest {
        if let knownReadiness { return knownReadiness }
        return try readinessAfterSignal()
    }

    func readinessAfterSignal() throws(ZeroMQError) -> PollItem.Interest {
        let found = PollItem.Interest(rawValue: Int16(truncatingIfNeeded: try option(ZMQ_EVENTS)))
        knownReadiness = found
        return found
    }

    /// Notes what a wait came to, for `receiveUnlessQuiet`.
    func waited() { isQuiet = knownReadiness.map { !$0.contains(.readable) } ?? false }

    /// For loops that look after every wait, whatever it found: the first look after a wait that found
    /// nothing here costs no call.
    func receiveUnlessQuiet() throws(ZeroMQError) -> [Frame]? {
        if isQuiet {
            isQuiet = false
            return nil
        }
        return try receive()
    }

    private func option(_ option: Int32) throws(ZeroMQError) -> Int32 {
        let socket = use("poll")
        var value: Int32 = 0
        var byteCount = MemoryLayout<Int32>.size
        try LibraryCall.perform("wait for a \(kind) socket") {
            zmq_getsockopt(socket, option, &value, &byteCount)
        }
        return value
    }
}
