extension SafeTensorsFile {
    /// Returns the front of a file: the header's length, the header and its padding. Tensors that
    /// readers would refuse are an error.
    ///
    /// Layout: compact JSON with the metadata first, in the order of its keys, and then the tensors
    /// in the given order. Spaces fill the header up to a multiple of eight bytes, so that the data
    /// starts aligned.
    static func encodedHeader(
        _ tensors: [SafeTensor], metadata: [String: String], file: String
    ) throws(SafeTensorsError) -> [UInt8] {
        let outlines = tensors.map {
            TensorOutline(
                name: $0.name, dataType: $0.dataType, shape: $0.shape, byteCount: $0.bytes.count)
        }
        return try encodedHeader(outlines, metadata: metadata, file: file)
    }

    /// Returns the front of a file, as for `SafeTensor`s, for tensors whose bytes are not in
    /// memory.
    ///
    /// - Throws: `duplicateName`, `sizeMismatch`, `badOffsets` for a tensor that would not be
    ///   aligned to its elements, or `malformedHeader` for a header that is too large.
    package static func encodedHeader(
        _ tensors: [TensorOutline], metadata: [String: String] = [:], file: String
    ) throws(SafeTensorsError) -> [UInt8] {
        var members: [String] = []
        if !metadata.isEmpty {
            let pairs = metadata.sorted { $0.key < $1.key }
                .map { "\(quoted($0.key)):\(quoted($0.value))" }
            members.append("\"__metadata__\":{\(pairs.joined(separator: ","))}")
        }
        var names: Set<String> = []
        var offset = 0
        for tensor in tensors {
            guard tensor.name != "__metadata__", names.insert(tensor.name).inserted else {
                throw SafeTensorsError(
                    .duplicateName, file: file, what: "names of the tensors to write",
                    expected: "each once, none __metadata__", found: tensor.name)
            }
            try check(tensor, offset: offset, file: file)
            let shape = tensor.shape.map(String.init).joined(separator: ",")
            let end = offset + tensor.byteCount
            let type = tensor.dataType.rawValue
            members.append(
                "\(quoted(tensor.name)):{\"dtype\":\"\(type)\",\"shape\":[\(shape)],"
                    + "\"data_offsets\":[\(offset),\(end)]}")
            offset = end
        }
        var text = Array("{\(members.joined(separator: ","))}".utf8)
        while text.count % 8 != 0 { text.append(0x20) }
        guard text.count <= SafeTensorsHeader.maximumByteCount else {
            throw SafeTensorsError(
                .malformedHeader, file: file, what: "header to write",
                expected: "at most \(SafeTensorsHeader.maximumByteCount) bytes",
                found: "\(text.count)")
        }
        return (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) } + text
    }

    /// Throws when the size of a tensor does not match its shape, or its offset is not aligned to
    /// its elements.
    private static func check(
        _ tensor: TensorOutline, offset: Int, file: String
    ) throws(SafeTensorsError) {
        guard let needed = tensor.dataType.byteCount(shape: tensor.shape),
            needed == tensor.byteCount
        else {
            throw SafeTensorsError(
                .sizeMismatch, file: file,
                what: "tensor \(tensor.name) of shape \(tensor.shape) and \(tensor.dataType)",
                expected: tensor.dataType.byteCount(shape: tensor.shape).map { "\($0) bytes" }
                    ?? "a size below 2^63",
                found: "\(tensor.byteCount) bytes")
        }
        guard offset % tensor.dataType.byteCount == 0 else {
            throw SafeTensorsError(
                .badOffsets, file: file,
                what: "start of tensor \(tensor.name) (put wider types first)",
                expected: "a multiple of \(tensor.dataType.byteCount)", found: "\(offset)")
        }
    }

    /// Returns `text` as a JSON string.
    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
