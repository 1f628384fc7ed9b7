/// A safetensors file: eight bytes of header length (little-endian), a JSON header, the data.
///
/// Reading checks everything before it allocates: whatever the bytes are, it returns or throws.
/// Source: the format's description in huggingface/safetensors.
public struct SafeTensorsFile: Sendable, Hashable {
    /// In the order of the header.
    public var tensors: [SafeTensor]
    public var metadata: [String: String]

    public init(tensors: [SafeTensor], metadata: [String: String] = [:]) {
        self.tensors = tensors
        self.metadata = metadata
    }

    public subscript(name: String) -> SafeTensor? { tensors.first { $0.name == name } }

    // MARK: Reading

    public static func read(path: String) throws(SafeTensorsError) -> SafeTensorsFile {
        let file = try opened(path)
        let header = try readHeader(file)
        var tensors: [SafeTensor] = []
        for entry in header.entries {
            tensors.append(try read(entry, from: file))
        }
        return SafeTensorsFile(tensors: tensors, metadata: header.metadata)
    }

    /// The same from memory; `file` is only a name for errors.
    public static func parse(
        _ bytes: [UInt8], file: String = "memory"
    ) throws(SafeTensorsError) -> SafeTensorsFile {
        let header = try parseHeader(bytes, file: file)
        let tensors = header.entries.map {
            SafeTensor(
                name: $0.name, dataType: $0.dataType, shape: $0.shape,
                bytes: Array(bytes[$0.byteRange]))
        }
        return SafeTensorsFile(tensors: tensors, metadata: header.metadata)
    }

    /// The header of a whole file in memory, checked against the file's length.
    public static func parseHeader(
        _ bytes: [UInt8], file: String = "memory"
    ) throws(SafeTensorsError) -> SafeTensorsHeader {
        let textByteCount = try headerByteCount(
            Array(bytes.prefix(8)), fileByteCount: bytes.count, file: file)
        return try SafeTensorsHeader(
            text: Array(bytes[8..<8 + textByteCount]), fileByteCount: bytes.count, file: file)
    }

    /// The header alone; the data is not read, though the file's length is checked.
    public static func readHeader(path: String) throws(SafeTensorsError) -> SafeTensorsHeader {
        try readHeader(opened(path))
    }

    /// One tensor; the others are not read.
    public static func readTensor(
        _ name: String, path: String
    ) throws(SafeTensorsError) -> SafeTensor {
        let file = try opened(path)
        let header = try readHeader(file)
        guard let entry = header[name] else {
            throw SafeTensorsError(
                .missingTensor, file: path, what: "tensors of the file",
                expected: "one named \(name)",
                found: header.entries.map(\.name).joined(separator: ", "))
        }
        return try read(entry, from: file)
    }

    package static func readHeader(
        _ file: ReadOnlyFile
    ) throws(SafeTensorsError) -> SafeTensorsHeader {
        let textByteCount = try headerByteCount(
            bytes(of: file, at: 0, byteCount: 8), fileByteCount: file.byteCount, file: file.path)
        let text = try bytes(of: file, at: 8, byteCount: textByteCount)
        guard text.count == textByteCount else {
            throw SafeTensorsError(
                .truncated, file: file.path, what: "header", expected: "\(textByteCount) bytes",
                found: "\(text.count) bytes")
        }
        return try SafeTensorsHeader(text: text, fileByteCount: file.byteCount, file: file.path)
    }

    private static func read(
        _ entry: SafeTensorsHeader.Entry, from file: ReadOnlyFile
    ) throws(SafeTensorsError) -> SafeTensor {
        let bytes = try bytes(
            of: file, at: entry.byteRange.lowerBound, byteCount: entry.byteRange.count)
        guard bytes.count == entry.byteRange.count else {
            throw SafeTensorsError(
                .truncated, file: file.path, what: "tensor \(entry.name)",
                expected: "\(entry.byteRange.count) bytes", found: "\(bytes.count) bytes")
        }
        return SafeTensor(
            name: entry.name, dataType: entry.dataType, shape: entry.shape, bytes: bytes)
    }

    private static func headerByteCount(
        _ prefix: [UInt8], fileByteCount: Int, file: String
    ) throws(SafeTensorsError) -> Int {
        guard prefix.count == 8 else {
            throw SafeTensorsError(
                .truncated, file: file, what: "length of the header", expected: "8 bytes",
                found: "\(prefix.count) bytes")
        }
        let count = prefix.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard count >= 2, count <= UInt64(SafeTensorsHeader.maximumByteCount) else {
            throw SafeTensorsError(
                .malformedHeader, file: file, what: "length of the header",
                expected: "2 to \(SafeTensorsHeader.maximumByteCount) bytes", found: "\(count)")
        }
        guard Int(count) <= fileByteCount - 8 else {
            throw SafeTensorsError(
                .truncated, file: file, what: "header", expected: "\(count) bytes",
                found: "\(fileByteCount - 8) bytes")
        }
        return Int(count)
    }

    private static func opened(_ path: String) throws(SafeTensorsError) -> ReadOnlyFile {
        do throws(SystemCallError) {
            return try ReadOnlyFile(path: path)
        } catch {
            throw SafeTensorsError(error)
        }
    }

    private static func bytes(
        of file: ReadOnlyFile, at offset: Int, byteCount: Int
    ) throws(SafeTensorsError) -> [UInt8] {
        do throws(SystemCallError) {
            return try file.bytes(at: offset, byteCount: byteCount)
        } catch {
            throw SafeTensorsError(error)
        }
    }

    // MARK: Writing

    /// Writes `tensors` in the order given; equal arguments give equal bytes.
    ///
    /// Put wider data types first: readers map the file and need each tensor aligned to its
    /// elements.
    ///
    /// - Parameter synchronizing: whether the bytes must be on the disk when this returns. The
    ///   directory's entry is the caller's to synchronize, after the rename it may do.
    /// - Throws: for names or sizes the format cannot hold before anything is written, and with the
    ///   system's reason when the disk is full or the place read-only.
    public static func write(
        path: String, tensors: [SafeTensor], metadata: [String: String] = [:],
        synchronizing: Bool = false
    ) throws(SafeTensorsError) {
        let front = try encodedHeader(tensors, metadata: metadata, file: path)
        do throws(SystemCallError) {
            let file = try WritableFile.create(path: path)
            try file.write(front)
            for tensor in tensors { try file.write(tensor.bytes) }
            try file.finish(synchronizing: synchronizing)
        } catch {
            throw SafeTensorsError(error)
        }
    }

    /// The bytes that `write` would write.
    public static func encode(
        tensors: [SafeTensor], metadata: [String: String] = [:]
    ) throws(SafeTensorsError) -> [UInt8] {
        var bytes = try encodedHeader(tensors, metadata: metadata, file: "memory")
        bytes.reserveCapacity(bytes.count + tensors.reduce(0) { $0 + $1.bytes.count })
        for tensor in tensors { bytes += tensor.bytes }
        return bytes
    }
}
