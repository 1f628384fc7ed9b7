/// The header of a safetensors file: names, types, shapes and offsets, without the data.
public struct SafeTensorsHeader: Sendable, Hashable {
    /// The header's entry for one tensor.
    public struct Entry: Sendable, Hashable {
        /// The name of the tensor.
        public let name: String
        /// The type of the elements.
        public let dataType: SafeTensorsDataType
        /// The dimensions, the outermost first; empty for a scalar.
        public let shape: [Int]
        /// The tensor's bytes, as offsets from the start of the file.
        public let byteRange: Range<Int>
    }

    /// The largest size of a header's text in bytes, for reading and writing. The reference
    /// implementation has the same limit.
    public static let maximumByteCount = 100_000_000

    /// The entries in the order of the header's text.
    public let entries: [Entry]
    /// The texts under the header's key `__metadata__`.
    public let metadata: [String: String]
    /// The offset of the data from the start of the file, in bytes.
    public let dataOffset: Int

    /// The entry of the tensor with this name; nil when there is none.
    public subscript(name: String) -> Entry? { entries.first { $0.name == name } }

    /// Parses and checks a header.
    ///
    /// - Parameters:
    ///   - text: the JSON after the eight length bytes.
    ///   - fileByteCount: the length of the whole file in bytes, which the offsets must fill
    ///     exactly.
    ///   - file: the name of the file, for errors.
    init(text: [UInt8], fileByteCount: Int, file: String) throws(SafeTensorsError) {
        var parser = HeaderParser(text: text, file: file)
        let content = try parser.parse()
        let dataOffset = 8 + text.count
        let dataByteCount = fileByteCount - dataOffset
        var entries: [Entry] = []
        entries.reserveCapacity(content.tensors.count)
        for tensor in content.tensors {
            entries.append(
                try Self.entry(
                    tensor, dataOffset: dataOffset, dataByteCount: dataByteCount, file: file))
        }
        try Self.checkCover(entries, from: dataOffset, to: fileByteCount, file: file)
        self.entries = entries
        self.metadata = content.metadata
        self.dataOffset = dataOffset
    }

    /// Checks one tensor's entry and converts its offsets to offsets from the start of the file.
    private static func entry(
        _ tensor: HeaderParser.Tensor, dataOffset: Int, dataByteCount: Int, file: String
    ) throws(SafeTensorsError) -> Entry {
        let name = tensor.name
        guard let dataType = SafeTensorsDataType(rawValue: tensor.dataType) else {
            throw SafeTensorsError(
                .unknownDataType, file: file, what: "data type of tensor \(name)",
                expected: SafeTensorsDataType.allCases.map(\.rawValue).joined(separator: ", "),
                found: tensor.dataType)
        }
        guard tensor.offsets.count == 2, tensor.offsets[0] <= tensor.offsets[1] else {
            throw SafeTensorsError(
                .badOffsets, file: file, what: "data_offsets of tensor \(name)",
                expected: "[begin, end] with begin <= end", found: "\(tensor.offsets)")
        }
        guard tensor.offsets[1] <= dataByteCount else {
            throw SafeTensorsError(
                .truncated, file: file, what: "end of tensor \(name)",
                expected: "\(tensor.offsets[1]) bytes of data", found: "\(dataByteCount)")
        }
        let byteCount = tensor.offsets[1] - tensor.offsets[0]
        guard let needed = dataType.byteCount(shape: tensor.shape), needed == byteCount else {
            let needed = dataType.byteCount(shape: tensor.shape).map { "\($0) bytes" }
            throw SafeTensorsError(
                .sizeMismatch, file: file,
                what: "tensor \(name) of shape \(tensor.shape) and \(dataType)",
                expected: needed ?? "a size below 2^63", found: "\(byteCount) bytes")
        }
        let begin = dataOffset + tensor.offsets[0]
        return Entry(
            name: name, dataType: dataType, shape: tensor.shape,
            byteRange: begin..<begin + byteCount)
    }

    /// Checks that the tensors lie end to end from the header to the end of the file.
    private static func checkCover(
        _ entries: [Entry], from start: Int, to end: Int, file: String
    ) throws(SafeTensorsError) {
        var position = start
        let ordered = entries.sorted {
            ($0.byteRange.lowerBound, $0.byteRange.upperBound)
                < ($1.byteRange.lowerBound, $1.byteRange.upperBound)
        }
        for entry in ordered {
            guard entry.byteRange.lowerBound == position else {
                throw SafeTensorsError(
                    .badOffsets, file: file, what: "start of tensor \(entry.name)",
                    expected: "byte \(position - start), where the one before ends",
                    found: "byte \(entry.byteRange.lowerBound - start)")
            }
            position = entry.byteRange.upperBound
        }
        guard position == end else {
            throw SafeTensorsError(
                .trailingBytes, file: file, what: "end of the file",
                expected: "\(position) bytes", found: "\(end) bytes")
        }
    }
}
