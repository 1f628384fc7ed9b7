/// A tensor of a file that is to be written, without its bytes.
package struct TensorOutline: Sendable, Hashable {
    package let name: String
    package let dataType: SafeTensorsDataType
    /// The dimensions, the outermost first; empty for a scalar.
    package let shape: [Int]
    /// The number of bytes that the tensor will have.
    package let byteCount: Int

    /// Creates an outline from its parts.
    package init(name: String, dataType: SafeTensorsDataType, shape: [Int], byteCount: Int) {
        self.name = name
        self.dataType = dataType
        self.shape = shape
        self.byteCount = byteCount
    }
}
