import CZeroMQ

/// The questions that a `PollSet` asks a socket.
///
/// A socket's descriptor signals each change that libzmq's threads bring about, once, and nothing
/// else. A change that a call on the socket made or noticed shows only in the socket's events. The
/// events are therefore read after every use of the socket and after every signal. At all other
/// times they are known without a call.
///
/// Source: zmq_getsockopt(3), ZMQ_FD and ZMQ_EVENTS.
extension SocketHandle {
    /// Returns the descriptor to poll when nothing is ready.
    func pollDescriptor() throws(ZeroMQError) -> Int32 {
        checkThread("poll")
        if let descriptor { return descriptor }
        let found = try option(ZMQ_FD)
        descriptor = found
        return found
    }

    /// Returns the states that the socket is ready for. Calls libzmq only when they can have
    /// changed without a signal.
    func readiness() throws(ZeroMQError) -> PollItem.Interest {
        if let knownReadiness { return knownReadiness }
        return try readinessAfterSignal()
    }

    /// Reads the states that the socket is ready for from libzmq.
    func readinessAfterSignal() throws(ZeroMQError) -> PollItem.Interest {
        let found = PollItem.Interest(rawValue: Int16(truncatingIfNeeded: try option(ZMQ_EVENTS)))
        knownReadiness = found
        return found
    }

    /// Notes the result of a wait for `receiveUnlessQuiet()`.
    func waited() { isQuiet = knownReadiness.map { !$0.contains(.readable) } ?? false }

    /// Takes the next message as `receive()` does, for loops that ask after every wait, whatever it
    /// found. The first call after a wait that found nothing here returns nil without a call of
    /// libzmq.
    func receiveUnlessQuiet() throws(ZeroMQError) -> [Frame]? {
        if isQuiet {
            isQuiet = false
            return nil
        }
        return try receive()
    }

    /// Returns the value of an integer option.
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
