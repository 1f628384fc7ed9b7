/// A named tensor with little-endian elements in row-major order.
public struct SafeTensor: Sendable, Hashable {
    /// The name of the tensor, unique within its file.
    public var name: String
    /// The type of the elements.
    public var dataType: SafeTensorsDataType
    /// The dimensions, the outermost first; empty for a scalar.
    public var shape: [Int]
    /// The elements' bytes. Their number must be the product of `shape` times the element's size;
    /// writing checks it.
    public var bytes: [UInt8]

    /// Creates a tensor from its parts.
    public init(name: String, dataType: SafeTensorsDataType, shape: [Int], bytes: [UInt8]) {
        self.name = name
        self.dataType = dataType
        self.shape = shape
        self.bytes = bytes
    }

    /// Creates an F32 tensor.
    public init(name: String, shape: [Int], floats: [Float]) {
        self.init(
            name: name, dataType: .F32, shape: shape, bytes: littleEndian(floats.map(\.bitPattern)))
    }

    /// Creates an I32 tensor.
    public init(name: String, shape: [Int], int32s: [Int32]) {
        self.init(name: name, dataType: .I32, shape: shape, bytes: littleEndian(int32s))
    }

    /// The number of elements that `bytes` holds.
    public var elementCount: Int { bytes.count / dataType.byteCount }

    /// Returns the elements of an F32, F16 or BF16 tensor. Every element of these types widens to
    /// Float exactly.
    ///
    /// - Throws: `wrongDataType` for any other type, which would need rounding or a cast.
    public func floats() throws(SafeTensorsError) -> [Float] {
        switch dataType {
        case .F32: integers(UInt32.self).map(Float.init(bitPattern:))
        case .BF16: integers(UInt16.self).map { Float(bitPattern: UInt32($0) << 16) }
        case .F16: integers(UInt16.self).map(widenedHalf)
        default: throw wrongDataType(expected: "F32, F16 or BF16")
        }
    }

    /// Returns the elements of an I32 tensor.
    ///
    /// - Throws: `wrongDataType` for any other type.
    public func int32s() throws(SafeTensorsError) -> [Int32] {
        guard dataType == .I32 else { throw wrongDataType(expected: "I32") }
        return integers(Int32.self)
    }

    private func wrongDataType(expected: String) -> SafeTensorsError {
        SafeTensorsError(
            .wrongDataType, file: "tensor \(name)", what: "data type", expected: expected,
            found: dataType.rawValue)
    }

    /// Returns `bytes` as little-endian integers.
    private func integers<Value: FixedWidthInteger>(_ type: Value.Type) -> [Value] {
        let size = MemoryLayout<Value>.size
        return bytes.withUnsafeBytes { buffer in
            (0..<buffer.count / size).map {
                Value(littleEndian: buffer.loadUnaligned(fromByteOffset: $0 * size, as: Value.self))
            }
        }
    }
}

/// Returns the bytes of `values`, the least significant first on every machine.
private func littleEndian<Value: FixedWidthInteger>(_ values: [Value]) -> [UInt8] {
    values.map(\.littleEndian).withUnsafeBytes { [UInt8]($0) }
}

/// Converts IEEE 754 half precision to single precision. The conversion uses integers, so that it
/// needs no Float16 type of the compiler.
private func widenedHalf(_ half: UInt16) -> Float {
    let sign = UInt32(half & 0x8000) << 16
    let exponent = UInt32(half >> 10) & 0x1F
    let fraction = UInt32(half & 0x3FF)
    switch exponent {
    case 0:  // zero and subnormals: fraction x 2^-24
        let magnitude = Float(fraction) * 0x1p-24
        return Float(bitPattern: magnitude.bitPattern | sign)
    case 0x1F: return Float(bitPattern: sign | 0x7F80_0000 | fraction << 13)
    default: return Float(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
    }
}
