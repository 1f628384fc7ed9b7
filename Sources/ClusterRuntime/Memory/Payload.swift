import Buffers
import ZeroMQ

/// Elements that arrived, or were made here.
enum Payload: Sendable {
    case frame(Frame)
    /// The first bytes of a buffer.
    case buffer(FloatBuffer, byteCount: Int)

    var byteCount: Int {
        switch self {
        case .frame(let frame): frame.byteCount
        case .buffer(_, let byteCount): byteCount
        }
    }

    func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        switch self {
        case .frame(let frame): frame.withUnsafeBytes(body)
        case .buffer(let buffer, let byteCount):
            body(UnsafeRawBufferPointer(start: buffer.pointer, count: byteCount))
        }
    }

    /// The bytes at an address where floats may lie; what libzmq delivers is nearly always aligned
    /// already.
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
