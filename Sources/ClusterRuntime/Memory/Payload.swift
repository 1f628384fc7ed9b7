import ZeroMQ

/// Floats that arrived, or were made here.
enum Payload {
    case frame(Frame)
    case buffer(FloatBuffer)

    var byteCount: Int {
        switch self {
        case .frame(let frame): frame.byteCount
        case .buffer(let buffer): buffer.count * 4
        }
    }

    func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        switch self {
        case .frame(let frame): frame.withUnsafeBytes(body)
        case .buffer(let buffer): body(buffer.bytes)
        }
    }

    /// The floats at an aligned address; what libzmq delivers is nearly always aligned already.
    func withPointer<Result>(_ body: (UnsafePointer<Float>) -> Result) -> Result {
        withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { preconditionFailure("empty payload") }
            if Int(bitPattern: base) % MemoryLayout<Float>.alignment == 0 {
                return body(base.assumingMemoryBound(to: Float.self))
            }
            let copy = FloatBuffer(count: bytes.count / 4)
            copy.copy(bytes)
            return body(UnsafePointer(copy.pointer))
        }
    }
}
