import CZlib
import SafeTensors

/// Reads the contents of a file from its start and decompresses them when the file is gzip.
///
/// Compression is recognised by the first two bytes, never by the name. Several gzip members in a
/// row count as one file, as in gzip itself; any other bytes after a member are an error.
///
/// Memory: one input buffer of 128 KiB and zlib's state, whatever the file's length.
/// Threading: one thread only.
package final class ByteStream {
    private static let inputByteCount = 128 << 10

    let path: String
    /// Whether the file is gzip.
    let isCompressed: Bool
    /// An upper bound on the contents' length in bytes. For a gzip file it is 1032 times the file's
    /// length, because deflate never shrinks data below 1/1032; otherwise it is the file's length.
    package let maximumByteCount: Int
    private let file: ReadOnlyFile
    private var fileOffset = 0
    private let input: UnsafeMutableRawBufferPointer
    /// zlib's state, at a fixed address because zlib keeps a pointer back to it.
    private let inflater: UnsafeMutablePointer<z_stream>
    private var memberEnded = false

    /// Opens the file and looks at its first two bytes.
    ///
    /// - Throws: `unreadable` when the file cannot be opened or read.
    package init(path: String) throws(DataError) {
        let file = try reading { () throws(SystemCallError) in try ReadOnlyFile(path: path) }
        let magic = try reading { () throws(SystemCallError) in try file.bytes(at: 0, byteCount: 2)
        }
        self.path = path
        self.file = file
        isCompressed = magic == [0x1F, 0x8B]
        let (bound, overflow) = file.byteCount.multipliedReportingOverflow(by: 1032)
        maximumByteCount = isCompressed ? (overflow ? .max : bound) : file.byteCount
        input = .allocate(byteCount: Self.inputByteCount, alignment: 16)
        inflater = .allocate(capacity: 1)
        inflater.initialize(to: z_stream())
        if isCompressed {
            // A window of 15 bits; adding 16 accepts gzip's format and no other.
            let status = inflateInit2_(
                inflater, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
            precondition(status == Z_OK, "inflateInit2 failed with \(status), expected \(Z_OK)")
        }
    }

    deinit {
        if isCompressed { inflateEnd(inflater) }
        inflater.deallocate()
        input.deallocate()
    }

    /// Fills `buffer` with the next bytes; `what` names them in errors.
    ///
    /// - Throws: `truncated` when the contents end too early.
    func fill(_ buffer: UnsafeMutableRawBufferPointer, what: String) throws(DataError) {
        let count = try read(into: buffer)
        guard count == buffer.count else {
            throw DataError(
                .truncated, file: path, what: what, expected: "\(buffer.count) more bytes",
                found: "\(count)", advice: "fetch the file again")
        }
    }

    /// Returns the next `count` bytes; `what` names them in errors.
    func bytes(_ count: Int, what: String) throws(DataError) -> [UInt8] {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 1)
        defer { buffer.deallocate() }
        try fill(buffer, what: what)
        return Array(buffer)
    }

    /// Throws `trailingBytes` unless all contents have been read. For gzip the call also checks the
    /// last member's checksum.
    package func finish() throws(DataError) {
        try withUnsafeTemporaryByte { (buffer) throws(DataError) in
            guard try read(into: buffer) == 0 else {
                throw DataError(
                    .trailingBytes, file: path, what: "contents after the last record",
                    expected: "the end of the file", found: "more bytes",
                    advice: "fetch the file again")
            }
        }
    }

    private func withUnsafeTemporaryByte(
        _ body: (UnsafeMutableRawBufferPointer) throws(DataError) -> Void
    ) throws(DataError) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1, alignment: 1)
        defer { buffer.deallocate() }
        try body(buffer)
    }

    /// Reads until `buffer` is full or the contents end, and returns the number of bytes read.
    package func read(into buffer: UnsafeMutableRawBufferPointer) throws(DataError) -> Int {
        if isCompressed { return try inflate(into: buffer) }
        let count = try reading { () throws(SystemCallError) in
            try file.read(into: buffer, at: fileOffset)
        }
        fileOffset += count
        return count
    }

    private func inflate(into buffer: UnsafeMutableRawBufferPointer) throws(DataError) -> Int {
        var done = 0
        while done < buffer.count {
            if inflater.pointee.avail_in == 0 { try refill() }
            let inputEnded = inflater.pointee.avail_in == 0
            if memberEnded {
                if inputEnded { break }
                try startNextMember()
            } else if inputEnded {
                throw DataError(
                    .truncatedCompression, file: path, what: "gzip stream",
                    expected: "its end marker and checksum", found: "the end of the file",
                    advice: "fetch the file again")
            }
            let space = min(buffer.count - done, 1 << 30)
            inflater.pointee.next_out = (buffer.baseAddress! + done).assumingMemoryBound(
                to: UInt8.self)
            inflater.pointee.avail_out = UInt32(space)
            let status = CZlib.inflate(inflater, Z_NO_FLUSH)
            done += space - Int(inflater.pointee.avail_out)
            switch status {
            case Z_OK, Z_BUF_ERROR: break
            case Z_STREAM_END: memberEnded = true
            default: throw corruption(status)
            }
        }
        return done
    }

    private func refill() throws(DataError) {
        let count = try reading { () throws(SystemCallError) in
            try file.read(into: input, at: fileOffset)
        }
        fileOffset += count
        inflater.pointee.next_in = input.baseAddress!.assumingMemoryBound(to: UInt8.self)
        inflater.pointee.avail_in = UInt32(count)
    }

    private func startNextMember() throws(DataError) {
        guard inflater.pointee.next_in.pointee == 0x1F else {
            throw DataError(
                .trailingBytes, file: path, what: "bytes after the gzip stream",
                expected: "the end of the file", found: "other bytes",
                advice: "fetch the file again")
        }
        inflateReset(inflater)
        memberEnded = false
    }

    private func corruption(_ status: Int32) -> DataError {
        let message = inflater.pointee.msg.map { String(cString: $0) } ?? "zlib status \(status)"
        let isChecksum = message == "incorrect data check" || message == "incorrect length check"
        return DataError(
            isChecksum ? .badCompressionChecksum : .corruptCompression, file: path,
            what: "gzip stream",
            expected: isChecksum ? "the checksum it ends with" : "valid compressed data",
            found: message, advice: "fetch the file again")
    }
}
