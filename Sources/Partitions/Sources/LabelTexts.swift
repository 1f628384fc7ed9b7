/// Collects labels that are written as text: whole numbers from 0, or names of classes.
///
/// If every text is a whole number, the numbers are the labels. Otherwise the texts are names, and
/// the labels are their places in the order of their bytes.
///
/// Memory: four bytes a label, and the distinct texts.
struct LabelTexts {
    /// The largest number of classes.
    static let maximumClassCount = 65_536
    /// The longest name in bytes.
    static let maximumNameByteCount = 256

    /// What the labels are.
    struct Classes {
        /// The label of each text.
        var labels: [Int32]
        /// The names in the order of the labels; nil for numbers.
        var names: [String]?
        /// A note for the user; nil where there is nothing to say.
        var remark: String?
    }

    private var numbers: [[UInt8]: Int32] = [:]
    private var texts: [[UInt8]] = []
    /// The place of the first label with each text, for errors.
    private var places: [String] = []

    /// The number of distinct texts.
    var count: Int { texts.count }

    /// Returns the number of a text: how many other texts came before it.
    ///
    /// - Parameters:
    ///   - text: the text; blanks around it do not count.
    ///   - place: where it stands, as in "line 7".
    /// - Throws: `badRecord` for a text that can be no label.
    mutating func add(
        _ text: UnsafeRawBufferPointer, file: String, place: @autoclosure () -> String
    ) throws(DataError) -> Int32 {
        let key = Array(try Self.check(text, file: file, place: place()))
        if let number = numbers[key] { return number }
        guard texts.count < Self.maximumClassCount else {
            throw DataError(
                .labelOutOfRange, file: file, what: "\(place()), label",
                expected: "at most \(Self.maximumClassCount) different ones", found: "one more",
                advice: "check that the column is the label; a number to learn is a target")
        }
        let number = Int32(texts.count)
        numbers[key] = number
        texts.append(key)
        places.append("\(file), \(place())")
        return number
    }

    /// Returns a text without the blanks around it.
    ///
    /// - Throws: `badRecord` for a text that can be no label.
    @discardableResult
    static func check(
        _ text: UnsafeRawBufferPointer, file: String, place: @autoclosure () -> String
    ) throws(DataError) -> UnsafeRawBufferPointer {
        let text = text.trimmed
        guard !text.isEmpty, text.count <= maximumNameByteCount else {
            throw DataError(
                .badRecord, file: file, what: "\(place()), label",
                expected: "1 to \(maximumNameByteCount) bytes", found: "\(text.count)")
        }
        guard String(validating: text, as: UTF8.self) != nil else {
            throw DataError(
                .badRecord, file: file, what: "\(place()), label", expected: "UTF-8",
                found: "other bytes")
        }
        return text
    }

    /// Returns the label of each text.
    ///
    /// - Throws: `labelOutOfRange` for whole numbers that are no labels.
    func classes() throws(DataError) -> Classes {
        var labels: [Int32] = []
        var firstName: Int?
        for (index, text) in texts.enumerated() {
            guard let number = Self.wholeNumber(text) else {
                firstName = index
                break
            }
            labels.append(Int32(clamping: number))
        }
        guard let firstName else {
            if let index = labels.firstIndex(where: {
                !(0..<Int32(Self.maximumClassCount)).contains($0)
            }) {
                throw DataError(
                    .labelOutOfRange, file: places[index], what: "label",
                    expected: "0 to \(Self.maximumClassCount - 1)",
                    found: String(decoding: texts[index], as: UTF8.self),
                    advice: "number the classes from 0, or give them names")
            }
            return Classes(labels: labels, names: nil, remark: nil)
        }
        let order = texts.indices.sorted { texts[$0].lexicographicallyPrecedes(texts[$1]) }
        labels = [Int32](repeating: 0, count: texts.count)
        for (label, index) in order.enumerated() { labels[index] = Int32(label) }
        var remark: String?
        if texts.contains(where: { Self.wholeNumber($0) != nil }) {
            let name = String(decoding: texts[firstName], as: UTF8.self)
            remark = "\(places[firstName]): label '\(name)' is no number, so all labels are names"
        }
        return Classes(
            labels: labels, names: order.map { String(decoding: texts[$0], as: UTF8.self) },
            remark: remark)
    }

    /// Returns the value of a text such as 7, -1 or 3.0, clamped to 64 bits; nil for another text.
    static func wholeNumber(_ text: some Collection<UInt8>) -> Int? {
        var digits = text[...]
        let isNegative = digits.first == UInt8(ascii: "-")
        if isNegative { digits = digits.dropFirst() }
        if let point = digits.firstIndex(of: UInt8(ascii: ".")) {
            let fraction = digits[digits.index(after: point)...]
            guard fraction.allSatisfy({ $0 == UInt8(ascii: "0") }) else { return nil }
            digits = digits[..<point]
        }
        guard !digits.isEmpty else { return nil }
        var value = 0
        for digit in digits {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(Int(digit - UInt8(ascii: "0")))
            value = overflow || carry ? .max : sum
            if value == .max { break }
        }
        return isNegative ? -value : value
    }
}

extension UnsafeRawBufferPointer {
    /// The bytes without the blanks and tabs at both ends.
    var trimmed: UnsafeRawBufferPointer {
        func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
        var (start, end) = (0, count)
        while start < end, isBlank(self[start]) { start += 1 }
        while end > start, isBlank(self[end - 1]) { end -= 1 }
        return UnsafeRawBufferPointer(rebasing: self[start..<end])
    }
}
