/// The element types of the format that Convoy knows, by the names that the format uses.
public enum SafeTensorsDataType: String, Sendable, Hashable, CaseIterable {
    case F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL

    /// The size of one element in bytes.
    public var byteCount: Int {
        switch self {
        case .F64, .I64: 8
        case .F32, .I32: 4
        case .F16, .BF16, .I16: 2
        case .I8, .U8, .BOOL: 1
        }
    }

    /// Returns the size in bytes of a tensor of `shape`; nil when a dimension is negative or the
    /// product overflows.
    public func byteCount(shape: [Int]) -> Int? {
        var product = byteCount
        for dimension in shape {
            let (next, overflow) = product.multipliedReportingOverflow(by: dimension)
            guard dimension >= 0, !overflow else { return nil }
            product = next
        }
        return product
    }
}
