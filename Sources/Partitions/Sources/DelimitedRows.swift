/// Splits a row of a table into fields, by the rules of RFC 4180: fields may be quoted, a quote
/// within a quoted field is doubled, and a row ends with a line feed with or without a carriage
/// return.
///
/// Threading: one thread at a time.
struct DelimitedRow {
    /// The largest number of columns.
    static let maximumColumnCount = 1 << 20

    /// A breach of the rules.
    struct Flaw {
        /// The column, counted from 0.
        var column: Int
        var expected: String
        var found: String
        /// Whether the row has no end.
        var isOpen = false
    }

    private struct Field {
        var start: Int
        var end: Int
    }

    /// The first breach of the rules; nil for a row without one.
    private(set) var flaw: Flaw?
    /// The number of line feeds in the row.
    private(set) var lineCount = 0
    /// Whether the row is an empty line.
    private(set) var isBlank = false
    private var fields: [Field] = []

    /// The number of fields.
    var count: Int { fields.count }

    /// Returns the text of a field of the row that was split last.
    func text(_ index: Int, in bytes: UnsafeMutableRawBufferPointer) -> UnsafeRawBufferPointer {
        let field = fields[index]
        return UnsafeRawBufferPointer(rebasing: bytes[field.start..<field.end])
    }

    /// Splits the row that starts at an offset. Doubled quotes are made single in place.
    ///
    /// - Parameters:
    ///   - isEnd: whether nothing follows the bytes.
    /// - Returns: the offset behind the row; nil when its end is not among the bytes.
    mutating func split(
        _ bytes: UnsafeMutableRawBufferPointer, from start: Int, separator: UInt8, isEnd: Bool
    ) -> Int? {
        let (quote, feed, back) = (UInt8(ascii: "\""), UInt8(ascii: "\n"), UInt8(ascii: "\r"))
        let end = bytes.count
        fields.removeAll(keepingCapacity: true)
        flaw = nil
        lineCount = 0
        var escaped: [(field: Int, first: Int)] = []
        var index = start
        while true {
            var field = Field(start: index, end: index)
            let isQuoted = index < end && bytes[index] == quote
            if isQuoted {
                index += 1
                field.start = index
                var firstDouble: Int?
                while true {
                    while index < end, bytes[index] != quote {
                        if bytes[index] == feed { lineCount += 1 }
                        index += 1
                    }
                    if index + 1 >= end, !isEnd { return nil }
                    if index + 1 < end, bytes[index + 1] == quote {
                        if firstDouble == nil { firstDouble = index }
                        index += 2
                        continue
                    }
                    break
                }
                field.end = index
                if index == end {
                    note("a closing quote", "the end of the file", isOpen: true)
                } else {
                    index += 1
                }
                if let firstDouble { escaped.append((fields.count, firstDouble)) }
            }
            let close = index
            while index < end, bytes[index] != separator, bytes[index] != feed {
                if bytes[index] == quote, !isQuoted { note("no quote within a field", "one") }
                index += 1
            }
            if index == end, !isEnd { return nil }
            var last = index
            let isLast = index == end || bytes[index] == feed
            if isLast, last > close, bytes[last - 1] == back { last -= 1 }
            if isQuoted {
                if last > close { note("a separator behind a quoted field", "more text") }
            } else {
                field.end = last
                for place in field.start..<last where bytes[place] == back {
                    note("a line feed behind a carriage return", "other text")
                    break
                }
            }
            if fields.count < Self.maximumColumnCount {
                fields.append(field)
            } else {
                note("at most \(Self.maximumColumnCount) columns", "more")
            }
            if !isLast {
                index += 1
                continue
            }
            if index < end {
                lineCount += 1
                index += 1
            }
            break
        }
        isBlank =
            fields.count == 1 && fields[0].end == fields[0].start && bytes.count > start
            && bytes[start] != quote
        for (number, first) in escaped { unescape(number, from: first, bytes) }
        return index
    }

    private mutating func note(_ expected: String, _ found: String, isOpen: Bool = false) {
        if flaw == nil {
            flaw = Flaw(column: fields.count, expected: expected, found: found, isOpen: isOpen)
        }
    }

    /// Makes the doubled quotes of a field single.
    private mutating func unescape(
        _ number: Int, from first: Int, _ bytes: UnsafeMutableRawBufferPointer
    ) {
        var (from, to) = (first, first)
        while from < fields[number].end {
            let byte = bytes[from]
            bytes[to] = byte
            from += byte == UInt8(ascii: "\"") ? 2 : 1
            to += 1
        }
        fields[number].end = to
    }
}

/// Reads the rows of a file from its start.
///
/// Memory: a buffer of twice the longest row, and at least 256 KiB.
/// Threading: one thread only.
final class DelimitedReader {
    /// The longest row in bytes.
    static let maximumRowByteCount = (1 << 24) - 1

    /// The fields of the current row.
    private(set) var row = DelimitedRow()
    /// The place of the current row in the file.
    private(set) var offset = 0
    private(set) var byteCount = 0
    /// The line of the current row, counted from 1.
    private(set) var line = 1
    private let file: SourceFile
    private let separator: UInt8
    private var buffer: UnsafeMutableRawBufferPointer
    /// The bytes of the buffer that hold text, and the place of the next row among them.
    private var filled = 0
    private var position = 0
    /// The offset in the file of the buffer's first byte.
    private var bufferOffset = 0
    private var isEnd = false
    private var nextLine = 1

    /// Opens a file. A byte order mark is skipped.
    ///
    /// - Throws: `badRecord` for a file that is no text of this kind.
    init(_ file: SourceFile, separator: UInt8) throws(DataError) {
        self.file = file
        self.separator = separator
        buffer = .allocate(byteCount: 256 << 10, alignment: 16)
        try fill()
        let start = Array(buffer[..<min(4, filled)])
        let kinds: [([UInt8], String, String)] = [
            ([0x1F, 0x8B], "a gzip file", "unpack it"),
            ([0xFF, 0xFE], "UTF-16", "save it as UTF-8"),
            ([0xFE, 0xFF], "UTF-16", "save it as UTF-8"),
            ([0x50, 0x4B, 3, 4], "a spreadsheet or another zip file", "export it as CSV"),
        ]
        for (bytes, found, advice) in kinds where start.starts(with: bytes) {
            throw DataError(
                .badRecord, file: file.name, what: "format", expected: "a table in plain text",
                found: found, advice: advice)
        }
        if start.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }
    }

    deinit { buffer.deallocate() }

    /// Returns the text of a field of the current row. It is valid until the next row is read.
    func text(_ index: Int) -> UnsafeRawBufferPointer { row.text(index, in: buffer) }

    /// The memory that the fields of the current row lie in.
    var bytes: UnsafeMutableRawBufferPointer { buffer }

    /// Goes to the next row that is no empty line; false at the end of the file.
    ///
    /// - Throws: `badRecord` for a row that is too long or has no end.
    func next() throws(DataError) -> Bool {
        while true {
            if isEnd, position == filled { return false }
            // One byte behind the text stays readable, for the reader of numbers.
            let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer[..<filled])
            guard
                let end = row.split(bytes, from: position, separator: separator, isEnd: isEnd),
                end - position <= Self.maximumRowByteCount
            else {
                guard filled - position <= Self.maximumRowByteCount else {
                    throw DataError(
                        .badRecord, file: file.name, what: "line \(nextLine)",
                        expected: "a row of at most \(Self.maximumRowByteCount) bytes",
                        found: "more", advice: "look for a quote that is not closed")
                }
                try fill()
                continue
            }
            offset = bufferOffset + position
            byteCount = end - position
            position = end
            line = nextLine
            nextLine += row.lineCount
            if let flaw = row.flaw, flaw.isOpen {
                throw DataError(
                    .badRecord, file: file.name, what: "line \(line), column \(flaw.column + 1)",
                    expected: flaw.expected, found: flaw.found,
                    advice: "look for a quote that is not closed")
            }
            if !row.isBlank { return true }
        }
    }

    /// Moves the text that is left to the front of the buffer and reads more behind it.
    private func fill() throws(DataError) {
        let left = filled - position
        if left > buffer.count / 2 {
            let larger = UnsafeMutableRawBufferPointer.allocate(
                byteCount: 2 * buffer.count, alignment: 16)
            larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[position..<filled]))
            buffer.deallocate()
            buffer = larger
        } else if position > 0, left > 0 {
            buffer.baseAddress!.copyMemory(
                from: buffer.baseAddress! + position, byteCount: left)
        }
        bufferOffset += position
        position = 0
        filled = left
        let space = UnsafeMutableRawBufferPointer(rebasing: buffer[filled..<buffer.count - 1])
        let count = try file.read(into: space, at: bufferOffset + filled)
        filled += count
        buffer[filled] = 0
        isEnd = count < space.count
    }
}
