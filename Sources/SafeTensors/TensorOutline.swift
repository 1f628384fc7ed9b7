/// A tensor of a file to be, without its bytes.
package struct TensorOutline: Sendable, Hashable {
    package let name: String
    package let dataType: SafeTensorsDataType
    package let shape: [Int]
    package let byteCount: Int

    package init(name: String, dataType: SafeTensorsDataType, shape: [Int], byteCount: Int) {
        self.name = name
        self.dataType = dataType
        self.shape = shape
        self.byteCount = byteCount
    }
}
