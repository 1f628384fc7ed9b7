/// The header of a NumPy array file.
///
/// Format: the bytes 93 4E 55 4D 50 59, a major and a minor version, the length of the header (16
/// bits in version 1, 32 bits in versions 2 and 3), and a Python dictionary with `descr`,
/// `fortran_order` and `shape`. Only this form is read; nothing is evaluated.
/// Source: NumPy Enhancement Proposal 1; documentation of `numpy.lib.format`.
struct NPYHeader {
    /// The type of the elements.
    enum Element: String {
        case bool = "b1"
        case int8 = "i1"
        case int16 = "i2"
        case int32 = "i4"
        case int64 = "i8"
        case uint8 = "u1"
        case uint16 = "u2"
        case uint32 = "u4"
        case uint64 = "u8"
        case float16 = "f2"
        case float32 = "f4"
        case float64 = "f8"

        var byteCount: Int { Int(rawValue.utf8.last! &- 0x30) }
        var isFloat: Bool { rawValue.first == "f" }
    }

    /// The longest header in bytes.
    static let maximumByteCount = 1 << 16
    /// The largest number of dimensions, as in NumPy 2.
    static let maximumRank = 64

    var element: Element
    var shape: [Int]
    /// The offset of the first element.
    var dataOffset: Int

    /// Reads the header of a file, or of a part of it.
    ///
    /// - Parameter part: the bytes of the file that are the array; nil for the whole file.
    /// - Throws: `wrongMagic` for another format; `sizeMismatch` for a kind of array that is not
    ///   taken, and for a file whose length is not that of the array; `truncated`.
    init(_ file: SourceFile, part: Range<Int>? = nil) throws(DataError) {
        let part = part ?? 0..<file.byteCount
        let start = try file.bytes(at: part.lowerBound, count: min(12, part.count))
        guard start.count == 12, start.starts(with: [0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59]) else {
            throw Self.wrongMagic(start, file.name)
        }
        guard (1...3).contains(start[6]), start[7] == 0 else {
            throw DataError(
                .wrongMagic, file: file.name, what: "version of the NPY format",
                expected: "1.0, 2.0 or 3.0", found: "\(start[6]).\(start[7])")
        }
        let isLong = start[6] > 1
        let length = (0..<(isLong ? 4 : 2)).reduce(0) { $0 | Int(start[8 + $1]) << (8 * $1) }
        let textOffset = isLong ? 12 : 10
        guard length <= Self.maximumByteCount else {
            throw DataError(
                .sizeMismatch, file: file.name, what: "length of the NPY header",
                expected: "at most \(Self.maximumByteCount) bytes", found: "\(length)")
        }
        guard textOffset + length <= part.count else {
            throw DataError(
                .truncated, file: file.name, what: "NPY header", expected: "\(length) bytes",
                found: "\(part.count - textOffset)", advice: "save the array again")
        }
        dataOffset = part.lowerBound + textOffset + length
        let text = try file.bytes(at: dataOffset - length, count: length)
        var parser = NPYDictionary(bytes: text, file: file.name)
        let fields = try parser.parse()
        element = try Self.element(fields.descr, file.name)
        shape = fields.shape
        guard !fields.isFortranOrder || shape.count < 2 else {
            throw DataError(
                .sizeMismatch, file: file.name, what: "order of the elements", expected: "C order",
                found: "Fortran order", advice: "save numpy.ascontiguousarray(x)")
        }
        guard let count = shape.first, shape.dropFirst().allSatisfy({ $0 > 0 }) else {
            throw DataError(
                .sizeMismatch, file: file.name, what: "shape of the array",
                expected: "one dimension for the records, and others above 0", found: "\(shape)")
        }
        var byteCount = element.byteCount
        var isTooLarge = false
        for dimension in [max(1, count)] + shape.dropFirst() {
            let (product, overflow) = byteCount.multipliedReportingOverflow(by: dimension)
            byteCount = product
            isTooLarge = isTooLarge || overflow
        }
        guard !isTooLarge else {
            throw DataError(
                .truncated, file: file.name, what: "elements of the shape \(shape)",
                expected: "less than 2^63 bytes", found: "more")
        }
        if count == 0 { byteCount = 0 }
        let found = part.upperBound - dataOffset
        guard byteCount == found else {
            throw DataError(
                byteCount > found ? .truncated : .trailingBytes, file: file.name,
                what: "elements of the shape \(shape)", expected: "\(byteCount) bytes",
                found: "\(found)", advice: "save the array again")
        }
    }

    private static func wrongMagic(_ start: [UInt8], _ file: String) -> DataError {
        var (found, advice) = ("another format", "save the array with numpy.save")
        if start.starts(with: [0x50, 0x4B]) {
            (found, advice) = ("a zip file, as numpy.savez writes it", "unpack it with unzip")
        } else if start.first == 0x80 {
            (found, advice) = ("a pickle, which is not read", "save the array with numpy.save")
        } else if start.count < 12 {
            (found, advice) = ("a file of \(start.count) bytes", "save the array again")
        }
        return DataError(
            .wrongMagic, file: file, what: "format", expected: "a NumPy array (.npy)", found: found,
            advice: advice)
    }

    private static func element(_ descr: String, _ file: String) throws(DataError) -> Element {
        let order = descr.first
        if let element = Element(rawValue: String(descr.dropFirst())) {
            if order == "<" || (order == "|" && element.byteCount == 1) { return element }
            if order == ">", element.byteCount > 1 {
                throw DataError(
                    .sizeMismatch, file: file, what: "order of the bytes",
                    expected: "little-endian",
                    found: "big-endian ('\(descr)')",
                    advice: "save x.astype(x.dtype.newbyteorder('<'))")
            }
        }
        let isObject = descr.dropFirst().first == "O"
        throw DataError(
            .sizeMismatch, file: file, what: "type of the elements",
            expected: "bool, or integers or floats of at most 64 bits",
            found: isObject ? "objects, which are pickles" : "'\(descr)'",
            advice: isObject ? "save numbers, for instance x.astype('float32')" : "")
    }
}

/// Parses the dictionary of an NPY header: three entries, in any order.
private struct NPYDictionary {
    let bytes: [UInt8]
    let file: String
    var index = 0

    init(bytes: [UInt8], file: String) {
        self.bytes = bytes
        self.file = file
    }

    mutating func parse() throws(DataError) -> (descr: String, isFortranOrder: Bool, shape: [Int]) {
        var descr: String?
        var isFortranOrder: Bool?
        var shape: [Int]?
        try expect("{")
        while !take("}") {
            let key = try string()
            try expect(":")
            switch key {
            case "descr" where descr == nil: descr = try typeText()
            case "fortran_order" where isFortranOrder == nil: isFortranOrder = try bool()
            case "shape" where shape == nil: shape = try tuple()
            default: throw flaw("descr, fortran_order and shape, each once", "'\(key)'")
            }
            if !take(",") {
                try expect("}")
                break
            }
        }
        skipBlanks()
        guard index == bytes.count else { throw flaw("the end behind the dictionary", "more text") }
        guard let descr, let isFortranOrder, let shape else {
            throw flaw("descr, fortran_order and shape", "fewer entries")
        }
        return (descr, isFortranOrder, shape)
    }

    private func flaw(_ expected: String, _ found: String) -> DataError {
        DataError(
            .sizeMismatch, file: file, what: "NPY header, byte \(index) of its text",
            expected: expected, found: found, advice: "save the array with numpy.save")
    }

    private mutating func skipBlanks() {
        while index < bytes.count, bytes[index] == 0x20 || bytes[index] == 0x0A { index += 1 }
    }

    private mutating func take(_ character: Character) -> Bool {
        skipBlanks()
        guard index < bytes.count, bytes[index] == character.asciiValue else { return false }
        index += 1
        return true
    }

    private mutating func expect(_ character: Character) throws(DataError) {
        guard take(character) else {
            throw flaw("'\(character)'", index < bytes.count ? "another byte" : "the end")
        }
    }

    private mutating func string() throws(DataError) -> String {
        skipBlanks()
        guard index < bytes.count, bytes[index] == 0x27 || bytes[index] == 0x22 else {
            throw flaw("a text in quotes", index < bytes.count ? "another byte" : "the end")
        }
        let quote = bytes[index]
        let start = index + 1
        guard let end = bytes[start...].firstIndex(of: quote), end - start <= 64,
            bytes[start..<end].allSatisfy({ (0x20..<0x7F).contains($0) && $0 != 0x5C })
        else { throw flaw("a short text in quotes", "another one") }
        index = end + 1
        return String(decoding: bytes[start..<end], as: UTF8.self)
    }

    private mutating func typeText() throws(DataError) -> String {
        skipBlanks()
        if index < bytes.count, bytes[index] == UInt8(ascii: "[") {
            throw DataError(
                .sizeMismatch, file: file, what: "type of the elements",
                expected: "one type for all elements", found: "a structured type",
                advice: "save each field as an array of its own")
        }
        return try string()
    }

    private mutating func bool() throws(DataError) -> Bool {
        skipBlanks()
        for (word, value) in [("True", true), ("False", false)]
        where bytes[index...].starts(with: word.utf8) {
            index += word.utf8.count
            return value
        }
        throw flaw("True or False", "another word")
    }

    private mutating func tuple() throws(DataError) -> [Int] {
        try expect("(")
        var values: [Int] = []
        while !take(")") {
            values.append(try number())
            guard values.count <= NPYHeader.maximumRank else {
                throw flaw("at most \(NPYHeader.maximumRank) dimensions", "more")
            }
            if !take(",") {
                // A tuple of one number has a comma behind it; without one it is a number.
                guard values.count > 1 else { throw flaw("a comma", "none") }
                try expect(")")
                break
            }
        }
        return values
    }

    private mutating func number() throws(DataError) -> Int {
        skipBlanks()
        let start = index
        var value = 0
        while index < bytes.count, bytes[index] &- 0x30 < 10 {
            guard value < 1 << 52 else { throw flaw("a dimension below 2^52", "a larger one") }
            value = value * 10 + Int(bytes[index] &- 0x30)
            index += 1
        }
        guard index > start else { throw flaw("a dimension", "no digit") }
        // Python 2 wrote long numbers with an L behind them.
        if index < bytes.count, bytes[index] == UInt8(ascii: "L") { index += 1 }
        return value
    }
}

/// A NumPy array in a file, of which stretches are read as bytes, single-precision numbers or
/// labels.
///
/// Threading: any thread.
final class NPYArray: Sendable {
    let header: NPYHeader
    let file: SourceFile

    /// Opens an array that is a file or a part of it.
    init(_ file: SourceFile, part: Range<Int>? = nil) throws(DataError) {
        header = try NPYHeader(file, part: part)
        self.file = file
    }

    /// The number of elements in one item of the first dimension.
    var itemCount: Int { header.shape.dropFirst().reduce(1, *) }

    /// Why an element cannot be stored; its place among those that were read.
    struct Flaw {
        var index: Int
        var expected: String
        var found: String
    }

    /// Reads elements as they lie in the file.
    func read(_ first: Int, into bytes: UnsafeMutableRawBufferPointer) throws(DataError) {
        let offset = header.dataOffset + first * header.element.byteCount
        guard try file.read(into: bytes, at: offset) == bytes.count else {
            throw SourceFile.changed(file.name)
        }
    }

    /// Converts elements to single precision, and returns the first that has no such value: numbers
    /// that are not finite or out of range, and whole numbers beyond 2^24, which would be rounded.
    /// Other numbers of double precision are rounded to the nearest.
    func convert(
        _ bytes: UnsafeRawBufferPointer, into floats: UnsafeMutablePointer<Float>, count: Int
    ) -> Flaw? {
        func whole<Value: FixedWidthInteger>(_ type: Value.Type) -> Flaw? {
            for index in 0..<count {
                let value = Value(
                    littleEndian: bytes.loadUnaligned(
                        fromByteOffset: index * MemoryLayout<Value>.size, as: Value.self))
                guard value.magnitude <= 1 << 24 else {
                    return Flaw(
                        index: index, expected: "a whole number of at most 2^24", found: "\(value)")
                }
                floats[index] = Float(value)
            }
            return nil
        }
        func real(_ value: (Int) -> Double) -> Flaw? {
            for index in 0..<count {
                let exact = value(index)
                let rounded = Float(exact)
                guard rounded.isFinite else {
                    return Flaw(
                        index: index, expected: "a finite number of single precision",
                        found: "\(exact)")
                }
                floats[index] = rounded
            }
            return nil
        }
        func word<Value: FixedWidthInteger>(_ index: Int, _ type: Value.Type) -> Value {
            Value(
                littleEndian: bytes.loadUnaligned(
                    fromByteOffset: index * MemoryLayout<Value>.size, as: Value.self))
        }
        switch header.element {
        case .bool:
            for index in 0..<count { floats[index] = bytes[index] == 0 ? 0 : 1 }
            return nil
        case .int8: return whole(Int8.self)
        case .int16: return whole(Int16.self)
        case .int32: return whole(Int32.self)
        case .int64: return whole(Int64.self)
        case .uint8: return whole(UInt8.self)
        case .uint16: return whole(UInt16.self)
        case .uint32: return whole(UInt32.self)
        case .uint64: return whole(UInt64.self)
        case .float16: return real { Self.half(word($0, UInt16.self)) }
        case .float32: return real { Double(Float(bitPattern: word($0, UInt32.self))) }
        case .float64: return real { Double(bitPattern: word($0, UInt64.self)) }
        }
    }

    /// Returns the value of a number of half precision.
    private static func half(_ bits: UInt16) -> Double {
        let exponent = Int(bits >> 10 & 31)
        let fraction = Double(bits & 1023)
        let magnitude =
            switch exponent {
            case 0: fraction * 0x1p-24
            case 31: fraction == 0 ? Double.infinity : Double.nan
            default:
                (1024 + fraction) * Double(sign: .plus, exponent: exponent - 25, significand: 1)
            }
        return bits >> 15 == 0 ? magnitude : -magnitude
    }

    /// Reads all elements as single-precision numbers; `name` names an item in errors.
    ///
    /// - Throws: `badTarget`.
    func targets() throws(DataError) -> [Float] {
        let count = header.shape.reduce(1, *)
        var floats = [Float](repeating: 0, count: count)
        let width = header.element.byteCount
        let chunk = 64 << 10
        var bytes = [UInt8](repeating: 0, count: min(count, chunk) * width)
        var first = 0
        while first < count {
            let part = min(chunk, count - first)
            let flaw = try fill(first, part, &bytes, &floats)
            if let flaw {
                throw DataError(
                    .badTarget, file: file.name,
                    what: "target of record \((first + flaw.index) / max(1, itemCount))",
                    expected: flaw.expected, found: flaw.found)
            }
            first += part
        }
        return floats
    }

    private func fill(
        _ first: Int, _ count: Int, _ bytes: inout [UInt8], _ floats: inout [Float]
    ) throws(DataError) -> Flaw? {
        let width = header.element.byteCount
        var result: Result<Flaw?, DataError> = .success(nil)
        bytes.withUnsafeMutableBytes { bytes in
            let part = UnsafeMutableRawBufferPointer(rebasing: bytes[..<(count * width)])
            do throws(DataError) { try read(first, into: part) } catch {
                result = .failure(error)
                return
            }
            floats.withUnsafeMutableBufferPointer {
                result = .success(
                    convert(
                        UnsafeRawBufferPointer(part), into: $0.baseAddress! + first, count: count))
            }
        }
        return try result.get()
    }

    /// Reads all elements as labels.
    ///
    /// - Throws: `labelOutOfRange`.
    func labels() throws(DataError) -> [Int32] {
        guard !header.element.isFloat else {
            throw DataError(
                .sizeMismatch, file: file.name, what: "type of the labels", expected: "integers",
                found: header.element.rawValue,
                advice: "save y.astype('int64'), or call the file of targets train_targets.npy")
        }
        let floats: [Float]
        do throws(DataError) { floats = try targets() } catch {
            guard error.kind == .badTarget else { throw error }
            throw Self.badLabel(
                file.name, error.what.replacingFirst("target", by: "label"), error.found)
        }
        let bound = Float(LabelTexts.maximumClassCount)
        var labels = [Int32](repeating: 0, count: floats.count)
        for (index, value) in floats.enumerated() {
            guard value >= 0, value < bound else {
                throw Self.badLabel(
                    file.name, "label of record \(index / max(1, itemCount))", "\(Int(value))")
            }
            labels[index] = Int32(value)
        }
        return labels
    }

    private static func badLabel(_ file: String, _ what: String, _ found: String) -> DataError {
        DataError(
            .labelOutOfRange, file: file, what: what,
            expected: "0 to \(LabelTexts.maximumClassCount - 1)", found: found,
            advice: "number the classes from 0")
    }
}
