/// A named tensor: little-endian elements in row-major order.
public struct SafeTensor: Sendable, Hashable {
    public var name: String
    public var dataType: SafeTensorsDataType
    /// Outermost dimension first; empty for a scalar.
    public var shape: [Int]
    /// `shape` times the data type's size; writing checks it.
    public var bytes: [UInt8]

    public init(name: String, dataType: SafeTensorsDataType, shape: [Int], bytes: [UInt8]) {
        self.name = name
        self.dataType = dataType
        self.shape = shape
        self.bytes = bytes
    }

    /// An F32 tensor.
    public init(name: String, shape: [Int], floats: [Float]) {
        self.init(
            name: name, dataType: .F32, shape: shape, bytes: littleEndian(floats.map(\.bitPattern)))
    }

    /// An I32 tensor.
    public init(name: String, shape: [Int], int32s: [Int32]) {
        self.init(name: name, dataType: .I32, shape: shape, bytes: littleEndian(int32s))
    }

    public var elementCount: Int { bytes.count / dataType.byteCount }

    /// The elements of an F32, F16 or BF16 tensor; each of these widens to Float exactly.
    ///
    /// - Throws: `wrongDataType` for any other, which would need rounding or a cast.
    public func floats() throws(SafeTensorsError) -> [Float] {
        switch dataType {
        case .F32: integers(UInt32.self).map(Float.init(bitPattern:))
        case .BF16: integers(UInt16.self).map { Float(bitPattern: UInt32($0) << 16) }
        case .F16: integers(UInt16.self).map(widenedHalf)
        default: throw wrongDataType(expected: "F32, F16 or BF16")
        }
    }

    /// The elements of an I32 tensor.
    public func int32s() throws(SafeTensorsError) -> [Int32] {
        guard dataType == .I32 else { throw wrongDataType(expected: "I32") }
        return integers(Int32.self)
    }

    private func wrongDataType(expected: String) -> SafeTensorsError {
        SafeTensorsError(
            .wrongDataType, file: "tensor \(name)", what: "data type", expected: expected,
            found: dataType.rawValue)
    }

    private func integers<Value: FixedWidthInteger>(_ type: Value.Type) -> [Value] {
        let size = MemoryLayout<Value>.size
        return bytes.withUnsafeBytes { buffer in
            (0..<buffer.count / size).map {
                Value(littleEndian: buffer.loadUnaligned(fromByteOffset: $0 * size, as: Value.self))
            }
        }
    }
}

/// The bytes of `values`, least significant first on every machine.
private func littleEndian<Value: FixedWidthInteger>(_ values: [Value]) -> [UInt8] {
    values.map(\.littleEndian).withUnsafeBytes { [UInt8]($0) }
}

/// IEEE 754 half to single precision, in integers so that no compiler's Float16 is needed.
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
