import Buffers
import ZeroMQ

/// The elements of a message, either received or made in this process.
enum Payload: Sendable {
    /// A received frame.
    case frame(Frame)
    /// The first bytes of a buffer of this process.
    case buffer(FloatBuffer, byteCount: Int)

    /// The length of the payload in bytes.
    var byteCount: Int {
        switch self {
        case .frame(let frame): frame.byteCount
        case .buffer(_, let byteCount): byteCount
        }
    }

    /// Calls a closure with the payload's bytes, which are valid during the call.
    func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        switch self {
        case .frame(let frame): frame.withUnsafeBytes(body)
        case .buffer(let buffer, let byteCount):
            body(UnsafeRawBufferPointer(start: buffer.pointer, count: byteCount))
        }
    }

    /// Calls a closure with the payload's bytes at an address that is aligned for `Float`. The payload
    /// must not be empty.
    ///
    /// A misaligned frame is copied, but what libzmq delivers is nearly always aligned already.
    func withAlignedPointer<Result>(_ body: (UnsafeRawPointer) -> Result) -> Result {
        withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { preconditionFailure("empty payload") }
            if Int(bitPattern: base) % MemoryLayout<Float>.alignment == 0 { return body(base) }
            let copy = FloatBuffer(count: FloatBuffer.count(forBytes: bytes.count))
            copy.copy(bytes)
            return body(UnsafeRawPointer(copy.pointer))
        }
    }
}
