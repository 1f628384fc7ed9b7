import CZeroMQ
import Glibc

/// Interprets the result of every call of libzmq. This is the one place that handles EINTR, EAGAIN,
/// ETERM and all other error numbers.
///
/// - EINTR: the call is repeated, or reported as `interrupted` to a caller that waits.
/// - EAGAIN: reported as `wouldBlock`, which is not an error here.
/// - ETERM and all others: thrown as `ZeroMQError`.
enum LibraryCall {
    /// The result of a call that did not throw.
    enum Outcome {
        case done(Int32)
        case wouldBlock
        case interrupted
    }

    /// Calls `body`, which returns -1 and sets `errno` when it fails, as libzmq's functions do.
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

    /// Calls `body` for an operation that never has to wait; EAGAIN is thrown as an error.
    @discardableResult
    static func perform(
        _ operation: @autoclosure () -> String, endpoint: String? = nil, _ body: () -> Int32
    ) throws(ZeroMQError) -> Int32 {
        guard case .done(let value) = try attempt(operation(), endpoint: endpoint, body) else {
            throw ZeroMQError(number: EAGAIN, operation: operation(), endpoint: endpoint)
        }
        return value
    }

    /// Calls `body`, which returns a null pointer and sets `errno` when it fails.
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
