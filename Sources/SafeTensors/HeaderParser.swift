/// Parses a header's JSON. It accepts exactly the structure that the format defines.
///
/// A general JSON parser would lose the order of the names and would keep only the last of two
/// equal names; both matter here.
struct HeaderParser {
    struct Tensor {
        var name: String
        var dataType = ""
        var shape: [Int] = []
        var offsets: [Int] = []
    }

    struct Content {
        var tensors: [Tensor] = []
        var metadata: [String: String] = [:]
    }

    /// The largest number of dimensions; a header with more is refused.
    private static let maximumRank = 64

    private let text: [UInt8]
    private let file: String
    private var position = 0

    init(text: [UInt8], file: String) {
        self.text = text
        self.file = file
    }

    /// Parses the whole header. White space may follow it, because writers pad with it.
    ///
    /// - Throws: `malformedHeader` or `duplicateName`.
    mutating func parse() throws(SafeTensorsError) -> Content {
        guard text.first == UInt8(ascii: "{") else { throw unexpected("'{' as its first byte") }
        var content = Content()
        var names: Set<String> = []
        try object { (parser, name) throws(SafeTensorsError) in
            guard names.insert(name).inserted else { throw parser.duplicate(name) }
            if name == "__metadata__" {
                try parser.object { (parser, key) throws(SafeTensorsError) in
                    guard content.metadata[key] == nil else { throw parser.duplicate(key) }
                    content.metadata[key] = try parser.string()
                }
            } else {
                content.tensors.append(try parser.tensor(named: name))
            }
        }
        skipSpaces()
        guard position == text.count else { throw unexpected("the end of the header") }
        return content
    }

    /// Parses the object that describes the tensor `name`.
    private mutating func tensor(named name: String) throws(SafeTensorsError) -> Tensor {
        var tensor = Tensor(name: name)
        var keys: Set<String> = []
        try object { (parser, key) throws(SafeTensorsError) in
            guard keys.insert(key).inserted else { throw parser.duplicate("\(name).\(key)") }
            switch key {
            case "dtype": tensor.dataType = try parser.string()
            case "shape": tensor.shape = try parser.integers()
            case "data_offsets": tensor.offsets = try parser.integers()
            default:
                throw SafeTensorsError(
                    .malformedHeader, file: parser.file, what: "key of tensor \(name)",
                    expected: "dtype, shape or data_offsets", found: key)
            }
        }
        guard keys.count == 3 else {
            throw SafeTensorsError(
                .malformedHeader, file: file, what: "keys of tensor \(name)",
                expected: "dtype, shape and data_offsets",
                found: keys.sorted().joined(separator: ", "))
        }
        return tensor
    }

    /// Parses an object. It passes each key to `value`, which must parse what follows the key.
    private mutating func object(
        _ value: (inout HeaderParser, String) throws(SafeTensorsError) -> Void
    ) throws(SafeTensorsError) {
        try expect("{")
        if accept("}") { return }
        repeat {
            skipSpaces()
            let key = try string()
            try expect(":")
            skipSpaces()
            try value(&self, key)
        } while accept(",")
        try expect("}")
    }

    /// Parses a list of whole numbers, each from 0 to 2^63 - 1.
    private mutating func integers() throws(SafeTensorsError) -> [Int] {
        try expect("[")
        var values: [Int] = []
        if accept("]") { return values }
        repeat {
            skipSpaces()
            values.append(try integer())
            guard values.count <= Self.maximumRank else {
                throw unexpected("at most \(Self.maximumRank) numbers in a list")
            }
        } while accept(",")
        try expect("]")
        return values
    }

    private mutating func integer() throws(SafeTensorsError) -> Int {
        let start = position
        var value = 0
        while position < text.count, (0x30...0x39).contains(text[position]) {
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(Int(text[position] - 0x30))
            guard !overflow, !carry else { throw unexpected("a number below 2^63") }
            value = sum
            position += 1
        }
        guard position > start else { throw unexpected("a whole number") }
        guard position == start + 1 || text[start] != 0x30 else {
            throw unexpected("a number without leading zeros")
        }
        return value
    }

    private mutating func string() throws(SafeTensorsError) -> String {
        guard position < text.count, text[position] == UInt8(ascii: "\"") else {
            throw unexpected("a string")
        }
        position += 1
        var bytes: [UInt8] = []
        while position < text.count {
            let byte = text[position]
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let value = String(validating: bytes, as: UTF8.self) else {
                    throw unexpected("UTF-8 text before")
                }
                return value
            case UInt8(ascii: "\\"):
                bytes += try escape()
            case 0..<0x20: throw unexpected("no control character before")
            default: bytes.append(byte)
            }
        }
        throw unexpected("the end of a string")
    }

    /// Parses what follows a backslash and returns its UTF-8 bytes.
    private mutating func escape() throws(SafeTensorsError) -> [UInt8] {
        guard position < text.count else { throw unexpected("an escape") }
        let byte = text[position]
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "f"): return [0x0C]
        case UInt8(ascii: "n"): return [0x0A]
        case UInt8(ascii: "r"): return [0x0D]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "u"): return Array(String(try escapedScalar()).utf8)
        default: throw unexpected("a JSON escape before")
        }
    }

    /// Parses what follows `\u`: four hexadecimal digits, or a surrogate pair.
    private mutating func escapedScalar() throws(SafeTensorsError) -> Unicode.Scalar {
        var value = try hexadecimal()
        if (0xD800..<0xDC00).contains(value) {
            guard position + 1 < text.count, text[position] == UInt8(ascii: "\\"),
                text[position + 1] == UInt8(ascii: "u")
            else { throw unexpected("the second half of a surrogate pair") }
            position += 2
            let low = try hexadecimal()
            guard (0xDC00..<0xE000).contains(low) else {
                throw unexpected("the second half of a surrogate pair before")
            }
            value = 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)
        }
        guard let scalar = Unicode.Scalar(value) else {
            throw unexpected("a Unicode scalar before")
        }
        return scalar
    }

    private mutating func hexadecimal() throws(SafeTensorsError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard position < text.count,
                let digit = Character(Unicode.Scalar(text[position])).hexDigitValue,
                text[position] < 0x80
            else { throw unexpected("four hexadecimal digits") }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }

    private mutating func skipSpaces() {
        while position < text.count {
            switch text[position] {
            case 0x20, 0x09, 0x0A, 0x0D: position += 1
            default: return
            }
        }
    }

    /// Skips white space, and `scalar` when it comes next. Returns whether it did.
    private mutating func accept(_ scalar: Unicode.Scalar) -> Bool {
        skipSpaces()
        guard position < text.count, text[position] == UInt8(ascii: scalar) else { return false }
        position += 1
        return true
    }

    /// Skips white space and `scalar`, or throws when another byte comes next.
    private mutating func expect(_ scalar: Unicode.Scalar) throws(SafeTensorsError) {
        guard accept(scalar) else { throw unexpected("'\(scalar)'") }
    }

    /// Returns the error for text at the current position that differs from `expected`.
    private func unexpected(_ expected: String) -> SafeTensorsError {
        let found =
            position < text.count
            ? "byte 0x\(String(text[position], radix: 16))" : "the header's end"
        return SafeTensorsError(
            .malformedHeader, file: file, what: "header text at byte \(position)",
            expected: expected,
            found: found)
    }

    /// Returns the error for a name that appears twice.
    private func duplicate(_ name: String) -> SafeTensorsError {
        SafeTensorsError(
            .duplicateName, file: file, what: "names in the header", expected: "each once",
            found: "\(name) twice")
    }
}
