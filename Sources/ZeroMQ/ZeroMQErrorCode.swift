import CZeroMQ
import Glibc

extension ZeroMQError {
    /// Every reason that libzmq documents, and the reasons that this module adds.
    ///
    /// Source: the ERRORS sections of the zmq_* manual pages, version 4.3.
    public enum Code: Sendable, Hashable, CaseIterable {
        case wouldBlock, interrupted, contextTerminated, wrongSocketState, notASocket
        case invalidArgument, badAddress, notFound, tooManyOpen, outOfMemory, notSupported
        case protocolNotSupported, protocolNotCompatible, addressInUse, addressNotAvailable
        case addressFamilyNotSupported, noSuchDevice, noInputOutputThread, hostUnreachable
        case networkUnreachable, networkDown, networkReset, noBufferSpace, connectionRefused
        case connectionAborted, connectionReset, notConnected, timedOut, inProgress
        case messageTooLarge, nameTooLong, accessDenied, operationNotPermitted, busy
        case fileExists, readOnlyFileSystem
        /// The installed libzmq is older than this module needs. Has no `errno`.
        case libraryTooOld
        /// A key or other data from outside is malformed or missing. Has no `errno`.
        case malformed
        /// An `errno` that libzmq does not document; its text is the system's.
        case other
    }
}

extension ZeroMQError.Code {
    /// The meaning of a code in words, its number and symbol, and advice.
    struct Facts {
        let number: Int32?
        let symbol: String?
        let sentence: String
        let advice: String?

        init(_ number: Int32?, _ symbol: String?, _ sentence: String, _ advice: String? = nil) {
            self.number = number
            self.symbol = symbol
            self.sentence = sentence
            self.advice = advice
        }
    }

    /// The code of each known `errno`.
    static let ofNumber: [Int32: ZeroMQError.Code] = Dictionary(
        allCases.compactMap { code in code.facts?.number.map { ($0, code) } },
        uniquingKeysWith: { first, _ in first })

    /// The facts of this code; nil only for `.other`.
    var facts: Facts? { callFacts ?? networkFacts ?? systemFacts }

    private var callFacts: Facts? {
        switch self {
        case .wouldBlock: Facts(EAGAIN, "EAGAIN", "it would have to wait")
        case .interrupted: Facts(EINTR, "EINTR", "a signal interrupted it", "try again")
        case .contextTerminated:
            Facts(ETERM, "ETERM", "the context was shut down", "close this socket")
        case .wrongSocketState:
            Facts(
                EFSM, "EFSM", "the socket is not in the state for it",
                "a req or rep socket sends and receives in turn")
        case .notASocket: Facts(ENOTSOCK, "ENOTSOCK", "the socket is closed")
        case .invalidArgument:
            Facts(EINVAL, "EINVAL", "an argument is invalid", "check the value or the endpoint")
        case .badAddress: Facts(EFAULT, "EFAULT", "a pointer or a key is invalid")
        case .notSupported:
            Facts(
                ENOTSUP, "ENOTSUP", "this kind of socket or this build of libzmq cannot do it",
                "see `zmq_has` for curve, or use another kind of socket")
        case .noInputOutputThread:
            Facts(
                EMTHREAD, "EMTHREAD", "no input/output thread is available",
                "create the context with an ioThreadCount of at least 1")
        case .libraryTooOld:
            Facts(nil, nil, "libzmq is too old", "install libzmq 4.3 or newer (libzmq3-dev)")
        case .malformed: Facts(nil, nil, "the bytes are malformed")
        default: nil
        }
    }

    private var networkFacts: Facts? {
        switch self {
        case .protocolNotSupported:
            Facts(
                EPROTONOSUPPORT, "EPROTONOSUPPORT", "the transport is not supported",
                "use tcp://, ipc:// or inproc://")
        case .protocolNotCompatible:
            Facts(
                ENOCOMPATPROTO, "ENOCOMPATPROTO",
                "the transport does not go with this kind of socket")
        case .addressInUse:
            Facts(
                EADDRINUSE, "EADDRINUSE", "address already in use",
                "choose another port (* lets the system pick one) or stop its present owner")
        case .addressNotAvailable:
            Facts(
                EADDRNOTAVAIL, "EADDRNOTAVAIL", "the address is not one of this machine's",
                "bind to 127.0.0.1, to 0.0.0.0 or to an address that `ip address` lists")
        case .addressFamilyNotSupported:
            Facts(
                EAFNOSUPPORT, "EAFNOSUPPORT", "the address family is not supported",
                "set the option ipv6 or use an IPv4 address")
        case .noSuchDevice:
            Facts(
                ENODEV, "ENODEV", "there is no such network interface",
                "`ip link` lists the interfaces")
        case .hostUnreachable:
            Facts(EHOSTUNREACH, "EHOSTUNREACH", "no connected peer has this routing identity")
        case .networkUnreachable: Facts(ENETUNREACH, "ENETUNREACH", "the network is unreachable")
        case .networkDown: Facts(ENETDOWN, "ENETDOWN", "the network is down")
        case .networkReset: Facts(ENETRESET, "ENETRESET", "the network reset the connection")
        case .connectionRefused:
            Facts(
                ECONNREFUSED, "ECONNREFUSED", "nothing answers there",
                "start the peer first or check the endpoint")
        case .connectionAborted: Facts(ECONNABORTED, "ECONNABORTED", "the connection was aborted")
        case .connectionReset: Facts(ECONNRESET, "ECONNRESET", "the peer reset the connection")
        case .notConnected: Facts(ENOTCONN, "ENOTCONN", "there is no connection")
        case .timedOut: Facts(ETIMEDOUT, "ETIMEDOUT", "it took too long")
        case .inProgress: Facts(EINPROGRESS, "EINPROGRESS", "it is under way already")
        case .messageTooLarge: Facts(EMSGSIZE, "EMSGSIZE", "the message is too large")
        default: nil
        }
    }

    private var systemFacts: Facts? {
        switch self {
        case .notFound:
            Facts(
                ENOENT, "ENOENT", "there is no such endpoint or file",
                "give the endpoint as bind returned it; a folder of an ipc path must exist")
        case .tooManyOpen:
            Facts(
                EMFILE, "EMFILE", "too many sockets or files are open",
                "raise maximumSocketCount or `ulimit -n`")
        case .outOfMemory: Facts(ENOMEM, "ENOMEM", "memory is exhausted")
        case .noBufferSpace: Facts(ENOBUFS, "ENOBUFS", "the system has no buffer space left")
        case .nameTooLong:
            Facts(
                ENAMETOOLONG, "ENAMETOOLONG", "the path is too long",
                "an ipc path has at most 107 bytes")
        case .accessDenied:
            Facts(
                EACCES, "EACCES", "permission denied",
                "use a port above 1023 or a path this user may write")
        case .operationNotPermitted: Facts(EPERM, "EPERM", "operation not permitted")
        case .busy: Facts(EBUSY, "EBUSY", "the resource is busy")
        case .fileExists: Facts(EEXIST, "EEXIST", "the file exists already")
        case .readOnlyFileSystem: Facts(EROFS, "EROFS", "the file system is read-only")
        default: nil
        }
    }
}
