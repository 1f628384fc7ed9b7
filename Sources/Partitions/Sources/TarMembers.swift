/// Reads the headers of a tar file one after the other.
///
/// The formats are POSIX ustar and pax, and GNU tar with its long names. Contents are passed over.
/// Source: IEEE Std 1003.1, utility `pax`, "ustar Interchange Format" and "pax Header Block"; GNU
/// tar's manual, "Basic Tar Format".
///
/// Memory: one header.
/// Threading: one thread only.
struct TarMembers {
    /// A file in a tar file.
    struct Member {
        /// The name as it stands there; it is never opened.
        var name: [UInt8]
        /// The place of the contents.
        var range: Range<Int>
        /// The offset of the header, for errors.
        var offset: Int
    }

    /// The longest name in bytes.
    static let maximumNameByteCount = 4096
    /// The longest extended header in bytes.
    private static let maximumExtensionByteCount = 1 << 20
    private static let blockByteCount = 512

    private let file: SourceFile
    private var offset = 0
    private var isEnd = false

    /// What an extended header says of the next member.
    private struct Extension {
        var name: [UInt8]?
        var size: Int?
    }

    /// Begins with the first member.
    ///
    /// - Throws: `wrongMagic` for a compressed file.
    init(_ file: SourceFile) throws(DataError) {
        self.file = file
        let start = try file.bytes(at: 0, count: min(6, file.byteCount))
        let kinds: [([UInt8], String)] = [
            ([0x1F, 0x8B], "gzip"), ([0x28, 0xB5, 0x2F, 0xFD], "Zstandard"),
            ([0xFD, 0x37, 0x7A, 0x58, 0x5A], "xz"), ([0x42, 0x5A, 0x68], "bzip2"),
            ([0x50, 0x4B, 3, 4], "zip"),
        ]
        for (magic, name) in kinds where start.starts(with: magic) {
            throw DataError(
                .wrongMagic, file: file.name, what: "format", expected: "a plain tar file",
                found: "a file that \(name) has compressed",
                advice: name == "zip"
                    ? "pack the files with tar"
                    : "decompress it, so that records can be read in any order")
        }
    }

    private func flaw(
        _ kind: DataError.Kind, _ what: String, _ expected: String, _ found: String,
        _ advice: String = ""
    ) -> DataError {
        DataError(
            kind, file: file.name, what: "\(what) of the member at byte \(offset)",
            expected: expected, found: found, advice: advice)
    }

    /// Returns the next regular file; nil at the end.
    ///
    /// - Throws: `truncated`, `badRecord` for a member that cannot be read, and `trailingBytes`.
    mutating func next() throws(DataError) -> Member? {
        var more = Extension()
        while !isEnd {
            guard offset + Self.blockByteCount <= file.byteCount else {
                throw flaw(
                    .truncated, "header",
                    "\(Self.blockByteCount) bytes, or the blocks of zeros at the end",
                    "\(file.byteCount - offset)", "fetch the file again")
            }
            let header = try file.bytes(at: offset, count: Self.blockByteCount)
            if header.allSatisfy({ $0 == 0 }) {
                try requireZeros()
                isEnd = true
                break
            }
            try check(header)
            let kind = header[156]
            let isExtension = kind == UInt8(ascii: "x") || kind == UInt8(ascii: "L")
            let isSkipped = kind == UInt8(ascii: "g") || kind == UInt8(ascii: "K")
            var size = try number(header[124..<136], "size")
            if !isExtension, !isSkipped, let known = more.size { size = known }
            let start = offset + Self.blockByteCount
            let (end, overflow) = start.addingReportingOverflow(size)
            guard !overflow, end <= file.byteCount else {
                throw flaw(
                    .truncated, "contents", "\(size) bytes", "\(file.byteCount - start)",
                    "fetch the file again")
            }
            let member = Member(
                name: more.name ?? Self.name(header), range: start..<end, offset: offset)
            if isExtension {
                try read(member.range, isPax: kind == UInt8(ascii: "x"), into: &more)
            } else if !isSkipped {
                more = Extension()
            }
            let result = isExtension || isSkipped ? nil : try regular(member, kind)
            // The end is at most the file's length, so the sum cannot overflow.
            offset = (end + Self.blockByteCount - 1) / Self.blockByteCount * Self.blockByteCount
            if let result { return result }
        }
        return nil
    }

    /// Returns a member that is a regular file; nil for a directory.
    private func regular(_ member: Member, _ kind: UInt8) throws(DataError) -> Member? {
        guard (1...Self.maximumNameByteCount).contains(member.name.count) else {
            throw flaw(
                .badRecord, "name", "1 to \(Self.maximumNameByteCount) bytes",
                "\(member.name.count)")
        }
        switch kind {
        case 0, UInt8(ascii: "0"), UInt8(ascii: "7"):
            return member.name.last == UInt8(ascii: "/") ? nil : member
        case UInt8(ascii: "5"): return nil
        case UInt8(ascii: "1"), UInt8(ascii: "2"):
            throw flaw(
                .badRecord, "kind", "a regular file", "a link",
                "pack it with tar --hard-dereference -h")
        case UInt8(ascii: "S"):
            throw flaw(
                .badRecord, "kind", "a regular file", "a sparse file", "pack it without --sparse")
        default:
            throw flaw(.badRecord, "kind", "a regular file", "a device or another kind (\(kind))")
        }
    }

    /// Throws unless only zeros are left in the file.
    private func requireZeros() throws(DataError) {
        var place = offset
        while place < file.byteCount {
            let part = try file.bytes(at: place, count: min(64 << 10, file.byteCount - place))
            if let index = part.firstIndex(where: { $0 != 0 }) {
                throw DataError(
                    .trailingBytes, file: file.name, what: "byte \(place + index)",
                    expected: "only zeros behind the last member", found: "something else",
                    advice: "two tar files in a row are two shards; pack the files anew")
            }
            place += part.count
        }
    }

    /// Checks the sum of a header.
    private func check(_ header: [UInt8]) throws(DataError) {
        var (sum, signedSum) = (0, 0)
        for (index, byte) in header.enumerated() {
            let byte = (148..<156).contains(index) ? 0x20 : byte
            sum += Int(byte)
            // Some old programs took bytes as signed.
            signedSum += Int(Int8(bitPattern: byte))
        }
        let stored = try number(header[148..<156], "checksum")
        guard stored == sum || stored == signedSum else {
            throw flaw(
                .checksumMismatch, "header", "the checksum \(stored)", "\(sum)",
                "check that it is a tar file, and fetch it again")
        }
    }

    /// Returns a number of a header: octal digits, or GNU's binary form.
    private func number(_ field: ArraySlice<UInt8>, _ what: String) throws(DataError) -> Int {
        if field.first == 0x80 {
            let digits = field.dropFirst()
            if digits.dropLast(8).allSatisfy({ $0 == 0 }) {
                let value = digits.suffix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
                if let value = Int(exactly: value) { return value }
            }
        } else {
            let digits = field.drop { $0 == 0x20 }.prefix { $0 &- 0x30 < 8 }
            let rest = field[digits.endIndex...]
            if rest.allSatisfy({ $0 == 0 || $0 == 0x20 }) {
                // Eleven octal digits are 33 bits.
                return digits.reduce(0) { $0 << 3 | Int($1 &- 0x30) }
            }
        }
        throw flaw(
            .badRecord, what, "an octal number", "other bytes", "check that it is a tar file")
    }

    private static func text(_ field: ArraySlice<UInt8>) -> [UInt8] {
        Array(field.prefix { $0 != 0 })
    }

    private static func name(_ header: [UInt8]) -> [UInt8] {
        let name = text(header[0..<100])
        // GNU tar has other things where POSIX has the prefix.
        let prefix = header[257..<263].elementsEqual("ustar\0".utf8) ? text(header[345..<500]) : []
        return prefix.isEmpty ? name : prefix + [UInt8(ascii: "/")] + name
    }

    /// Reads an extended header.
    private func read(
        _ range: Range<Int>, isPax: Bool, into more: inout Extension
    ) throws(DataError) {
        guard range.count <= Self.maximumExtensionByteCount else {
            throw flaw(
                .badRecord, "extended header", "at most \(Self.maximumExtensionByteCount) bytes",
                "\(range.count)")
        }
        let bytes = try file.bytes(at: range.lowerBound, count: range.count)
        guard isPax else {
            more.name = Self.text(bytes[...])
            return
        }
        var rest = bytes[...]
        while !rest.isEmpty {
            let digits = rest.prefix { $0 &- 0x30 < 10 }
            let length = digits.count < 8 ? digits.reduce(0) { $0 * 10 + Int($1 &- 0x30) } : 0
            guard length > digits.count + 1, length <= rest.count,
                rest[digits.endIndex] == 0x20
            else {
                throw flaw(.badRecord, "extended header", "a record with its length", "other bytes")
            }
            let record = rest.prefix(length)
            rest = rest.dropFirst(length)
            let body = record.dropFirst(digits.count + 1)
            guard body.last == 0x0A, let sign = body.firstIndex(of: UInt8(ascii: "=")) else {
                throw flaw(
                    .badRecord, "extended header", "key=value and a line feed", "other bytes")
            }
            let value = body[(sign + 1)...].dropLast()
            let key = body[..<sign]
            if key.elementsEqual("path".utf8) {
                more.name = Self.text(value)
            } else if key.elementsEqual("size".utf8) {
                guard let size = LabelTexts.wholeNumber(value), size >= 0 else {
                    throw flaw(.badRecord, "extended header", "a size", "other bytes")
                }
                more.size = size
            } else if key.starts(with: "GNU.sparse.".utf8) {
                throw flaw(
                    .badRecord, "kind", "a regular file", "a sparse file",
                    "pack it without --sparse")
            }
        }
    }
}
