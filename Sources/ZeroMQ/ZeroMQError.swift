import CZeroMQ
import Glibc

/// An error of libzmq or of this module: the operation, its endpoint, the reason and advice.
///
/// `description` reads like `cannot bind tcp://127.0.0.1:5555: address already in use (EADDRINUSE);
/// choose another port ...`.
public struct ZeroMQError: Error, Sendable, CustomStringConvertible {
    /// The reason as a case to switch over.
    public let code: Code
    /// The attempted operation as a verb phrase: "bind", "set the option linger of a dealer
    /// socket".
    public let operation: String
    /// The endpoint of the attempt, where there is one.
    public let endpoint: String?
    /// The `errno` that libzmq reported; 0 when the error did not come from a call of libzmq.
    public let number: Int32

    /// Creates an error from its parts.
    public init(code: Code, operation: String, endpoint: String?, number: Int32) {
        self.code = code
        self.operation = operation
        self.endpoint = endpoint
        self.number = number
    }

    /// Creates the error of an `errno`. This is the only place where numbers become codes.
    public init(number: Int32, operation: String, endpoint: String? = nil) {
        self.init(
            code: Code.ofNumber[number] ?? .other, operation: operation, endpoint: endpoint,
            number: number)
    }

    /// One line of text: operation, endpoint, reason and advice.
    public var description: String {
        var text = "cannot \(operation)"
        if let endpoint { text += " \(endpoint)" }
        text += ": \(reason)"
        if let advice = code.facts?.advice { text += "; \(advice)" }
        return text
    }

    private var reason: String {
        if let facts = code.facts {
            return facts.symbol.map { "\(facts.sentence) (\($0))" } ?? facts.sentence
        }
        return "\(String(cString: zmq_strerror(number))) (errno \(number))"
    }
}
