import CZeroMQ
import Glibc

/// The one place where calls of libzmq are judged: EINTR, EAGAIN, ETERM and all other numbers.
///
/// - EINTR: the call is made again, or, where a caller waits, reported as `interrupted`.
/// - EAGAIN: reported as `wouldBlock`, which is no error here.
/// - ETERM and the rest: thrown as `ZeroMQError`.
enum LibraryCall {
    /// What a call that did not fail came to.
    enum Outcome {
        case done(Int32)
        case wouldBlock
        case interrupted
    }

    /// Calls `body`, which returns -1 and sets `errno` when it failed, as all of libzmq does.
    static func attempt(
        _ operation: @autoclosure () -> String, endpoint: String? = nil,
        repeatWhenInterrupted: Bool = true, _ body: () -> Int32
    ) throws(ZeroMQError) -> Outcome {
        while true {
            let result = body()
            if result != -1 { return .done(result) }
            let number = zmq_errno()
            switch number {
            case EINTR where repeatWhenInterrupted: continue
            case EINTR: return .interrupted
            case EAGAIN: return .wouldBlock
            default:
                throw ZeroMQError(number: number, operation: operation(), endpoint: endpoint)
            }
        }
    }

    /// Calls `body` where waiting is no possible outcome.
    @discardableResult
    static func perform(
        _ operation: @autoclosure () -> String, endpoint: String? = nil, _ body: () -> Int32
    ) throws(ZeroMQError) -> Int32 {
        guard case .done(let value) = try attempt(operation(), endpoint: endpoint, body) else {
            throw ZeroMQError(number: EAGAIN, operation: operation(), endpoint: endpoint)
        }
        return value
    }

    /// Calls `body`, which returns a null pointer and sets `errno` when it failed.
    static func create(
        _ operation: @autoclosure () -> String, _ body: () -> UnsafeMutableRawPointer?
    ) throws(ZeroMQError) -> UnsafeMutableRawPointer {
        while true {
            if let pointer = body() { return pointer }
            let number = zmq_errno()
            if number != EINTR { throw ZeroMQError(number: number, operation: operation()) }
        }
    }
}
