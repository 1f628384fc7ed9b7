/// A safetensors file: eight bytes with the header's length (little-endian), a JSON header, the
/// data.
///
/// Reading checks everything before it allocates. For any bytes it returns or throws; it never
/// crashes.
/// Source: the format's description in huggingface/safetensors.
public struct SafeTensorsFile: Sendable, Hashable {
    /// The tensors in the order of the header.
    public var tensors: [SafeTensor]
    /// The texts under the header's key `__metadata__`.
    public var metadata: [String: String]

    /// Creates the contents of a file in memory.
    public init(tensors: [SafeTensor], metadata: [String: String] = [:]) {
        self.tensors = tensors
        self.metadata = metadata
    }

    /// The tensor with this name; nil when there is none.
    public subscript(name: String) -> SafeTensor? { tensors.first { $0.name == name } }

    // MARK: Reading

    /// Reads a whole file.
    ///
    /// - Throws: `inputOutput` when the file cannot be read, and other kinds when it is malformed.
    public static func read(path: String) throws(SafeTensorsError) -> SafeTensorsFile {
        let file = try opened(path)
        let header = try readHeader(file)
        var tensors: [SafeTensor] = []
        for entry in header.entries {
            tensors.append(try read(entry, from: file))
        }
        return SafeTensorsFile(tensors: tensors, metadata: header.metadata)
    }

    /// Parses a whole file that is in memory.
    ///
    /// - Parameters:
    ///   - bytes: the contents of the file.
    ///   - file: the name of the file, for errors.
    /// - Throws: the reason when the bytes are malformed.
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

    /// Parses the header of a whole file that is in memory, and checks it against the file's
    /// length.
    ///
    /// - Parameters:
    ///   - bytes: the contents of the whole file.
    ///   - file: the name of the file, for errors.
    /// - Throws: the reason when the header is malformed or does not fit the file's length.
    public static func parseHeader(
        _ bytes: [UInt8], file: String = "memory"
    ) throws(SafeTensorsError) -> SafeTensorsHeader {
        let textByteCount = try headerByteCount(
            Array(bytes.prefix(8)), fileByteCount: bytes.count, file: file)
        return try SafeTensorsHeader(
            text: Array(bytes[8..<8 + textByteCount]), fileByteCount: bytes.count, file: file)
    }

    /// Reads only the header of a file and checks it against the file's length.
    ///
    /// - Throws: `inputOutput` when the file cannot be read, and other kinds when it is malformed.
    public static func readHeader(path: String) throws(SafeTensorsError) -> SafeTensorsHeader {
        try readHeader(opened(path))
    }

    /// Reads one tensor of a file; the data of the others is not read.
    ///
    /// - Throws: `missingTensor` when the file has no tensor with this name, `inputOutput` when it
    ///   cannot be read, and other kinds when it is malformed.
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

    /// Reads only the header of an open file and checks it against the file's length.
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

    /// Returns the length of the header's text in bytes, after checking it against the file's
    /// length.
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

    /// Opens a file and turns a failed system call into a `SafeTensorsError`.
    private static func opened(_ path: String) throws(SafeTensorsError) -> ReadOnlyFile {
        do throws(SystemCallError) {
            return try ReadOnlyFile(path: path)
        } catch {
            throw SafeTensorsError(error)
        }
    }

    /// Reads bytes of a file and turns a failed system call into a `SafeTensorsError`.
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

    /// Writes `tensors` to a file in the given order. Equal arguments give equal bytes.
    ///
    /// Put wider data types first: readers map the file into memory and need each tensor aligned to
    /// its elements.
    ///
    /// - Parameters:
    ///   - path: the path of the file; an existing file is replaced.
    ///   - tensors: the tensors.
    ///   - metadata: texts for the header's key `__metadata__`.
    ///   - synchronizing: whether the bytes must be on the disk when this returns. Synchronizing
    ///     the directory's entry is left to the caller, who may rename the file first.
    /// - Throws: before anything is written, `duplicateName`, `sizeMismatch`, `badOffsets` or
    ///   `malformedHeader` for tensors that the format cannot hold; `inputOutput` with the system's
    ///   reason when the disk is full or read-only.
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

    /// Returns the bytes that `write` would write.
    ///
    /// - Throws: the same errors as `write`, without `inputOutput`.
    public static func encode(
        tensors: [SafeTensor], metadata: [String: String] = [:]
    ) throws(SafeTensorsError) -> [UInt8] {
        var bytes = try encodedHeader(tensors, metadata: metadata, file: "memory")
        bytes.reserveCapacity(bytes.count + tensors.reduce(0) { $0 + $1.bytes.count })
        for tensor in tensors { bytes += tensor.bytes }
        return bytes
    }
}
