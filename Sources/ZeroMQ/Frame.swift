import CZeroMQ
import Glibc
import Synchronization

/// One part of a message: bytes that never change once the frame exists.
///
/// A frame can be sent any number of times and to any number of peers. Sending neither copies nor
/// consumes the bytes but shares them by reference count. Up to 33 bytes lie in the message
/// structure itself and are copied.
///
/// Threading: any thread may use a frame, also several threads at once.
///
/// Safety: `@unchecked Sendable` holds because `message` is written in two places only. One is the
/// code that prepares it for `init`. The other is `zmq_msg_copy`, which marks its source as shared
/// and is therefore called under `lock`. All other code reads fields that never change after
/// `init`. The reference count of the shared bytes belongs to libzmq; it is atomic and separate for
/// every copy.
public final class Frame: @unchecked Sendable {
    /// Lent memory of fewer bytes than this is copied, because a copy is cheaper than keeping the
    /// owner.
    public static let smallestLentByteCount = 1024

    private let message: UnsafeMutablePointer<zmq_msg_t>
    private let bytesOfMessage: UnsafeRawBufferPointer
    private let lock = Mutex<Void>(())

    /// Creates a frame with a copy of `bytes`.
    public convenience init(_ bytes: [UInt8]) {
        self.init(message: bytes.withUnsafeBytes { Frame.allocate(copying: $0) })
    }

    /// Creates a frame with the UTF-8 bytes of `text`.
    public convenience init(_ text: String) {
        var text = text
        self.init(message: text.withUTF8 { Frame.allocate(copying: UnsafeRawBufferPointer($0)) })
    }

    /// Creates a frame with a copy of `memory`, which need not live longer than this call.
    public convenience init(copying memory: UnsafeRawBufferPointer) {
        self.init(message: Frame.allocate(copying: memory))
    }

    /// Creates a frame over memory that is read in place, without a copy.
    ///
    /// `owner` is retained until this frame and every message made from it are gone. Its last
    /// release then often happens on one of libzmq's threads, so its `deinit` must be short and
    /// safe there. Until that release the memory must neither move nor change, because libzmq reads
    /// it while it sends, and an inproc receiver reads this very memory. Memory of fewer than
    /// `smallestLentByteCount` bytes is copied.
    public convenience init(lending memory: UnsafeRawBufferPointer, owner: AnyObject) {
        if memory.count < Frame.smallestLentByteCount {
            self.init(message: Frame.allocate(copying: memory))
        } else {
            self.init(message: Frame.allocate(lending: memory, owner: owner))
        }
    }

    /// Creates a frame that takes over the content of an initialised message and leaves an empty
    /// one behind.
    convenience init(moving source: UnsafeMutablePointer<zmq_msg_t>) {
        let message = UnsafeMutablePointer<zmq_msg_t>.allocate(capacity: 1)
        zmq_msg_init(message)
        zmq_msg_move(message, source)
        self.init(message: message)
    }

    /// Takes over the allocation and its initialised message.
    private init(message: UnsafeMutablePointer<zmq_msg_t>) {
        self.message = message
        bytesOfMessage = UnsafeRawBufferPointer(
            start: zmq_msg_data(message), count: zmq_msg_size(message))
    }

    deinit {
        zmq_msg_close(message)
        message.deallocate()
    }

    private static func allocate(
        copying memory: UnsafeRawBufferPointer
    ) -> UnsafeMutablePointer<zmq_msg_t> {
        let message = UnsafeMutablePointer<zmq_msg_t>.allocate(capacity: 1)
        guard zmq_msg_init_size(message, memory.count) == 0 else {
            fatalError("cannot allocate a frame of \(memory.count) bytes: memory is exhausted")
        }
        if let source = memory.baseAddress, !memory.isEmpty {
            memcpy(zmq_msg_data(message), source, memory.count)
        }
        return message
    }

    private static func allocate(
        lending memory: UnsafeRawBufferPointer, owner: AnyObject
    ) -> UnsafeMutablePointer<zmq_msg_t> {
        let message = UnsafeMutablePointer<zmq_msg_t>.allocate(capacity: 1)
        let retained = Unmanaged<AnyObject>.passRetained(owner)
        // libzmq asks for a mutable pointer, but it only reads through it while a frame is
        // immutable.
        let result = zmq_msg_init_data(
            message, UnsafeMutableRawPointer(mutating: memory.baseAddress), memory.count,
            { _, hint in
                guard let hint else { return }
                Unmanaged<AnyObject>.fromOpaque(hint).release()
            }, retained.toOpaque())
        guard result == 0 else {
            fatalError("cannot allocate a frame that lends memory: memory is exhausted")
        }
        return message
    }

    /// Initialises `destination` as another reference to this frame's bytes.
    ///
    /// The first copy marks the source as shared. libzmq takes no lock for this, so `lock` is
    /// needed.
    func share(into destination: UnsafeMutablePointer<zmq_msg_t>) {
        zmq_msg_init(destination)
        lock.withLock { _ in
            // zmq_msg_copy fails only for an invalid source, and a frame's message is always valid.
            _ = zmq_msg_copy(destination, message)
        }
    }

    /// The number of bytes.
    public var byteCount: Int { bytesOfMessage.count }

    /// Calls `body` with the bytes in place, which are valid only during the call.
    public func withUnsafeBytes<Result: ~Copyable, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        defer { withExtendedLifetime(self) {} }
        return try body(bytesOfMessage)
    }

    /// A copy of the bytes.
    public var bytes: [UInt8] { withUnsafeBytes { Array($0) } }

    /// The bytes as text; nil unless they are valid UTF-8.
    public var text: String? { withUnsafeBytes { String(validating: $0, as: UTF8.self) } }

    /// The file descriptor of the connection that delivered a received frame. Nil over inproc and
    /// for frames made by this process.
    ///
    /// The number equals that of the connection's monitor events; see `SocketMonitor`. Ask the last
    /// frame of a message, because the identity that a ROUTER puts in front may have no descriptor.
    public var sourceFileDescriptor: Int32? {
        let value = withExtendedLifetime(self) { zmq_msg_get(message, ZMQ_SRCFD) }
        return value >= 0 ? value : nil
    }

    /// The address of the peer that sent a received frame. It is an IP address, or over ipc the
    /// sender's user, group and process (`:1000:1000:4711`). Nil over inproc and for frames made by
    /// this process.
    public var peerAddress: String? { property("Peer-Address") }

    /// The user that the ZAP handler accepted; with `ZapAuthenticator` it is the peer's public
    /// CURVE key in Z85. Nil when the connection was not authenticated.
    public var authenticatedUser: String? { property("User-Id") }

    /// The routing identity that the sender announced, as text; nil when it announced none.
    public var announcedIdentity: String? {
        property("Identity").flatMap { $0.isEmpty ? nil : $0 }
    }

    private func property(_ name: String) -> String? {
        withExtendedLifetime(self) { zmq_msg_gets(message, name).map { String(cString: $0) } }
    }
}
