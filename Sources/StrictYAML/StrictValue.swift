import Yams

/// One value of a settings file and its place. The typed getters throw ``SettingsError`` with this
/// place when the value has another kind or range.
public struct StrictValue {
    let node: Node
    /// The file's name as the user gave it; empty for a flag of the command line.
    public let fileName: String
    /// The path of keys that leads here, for instance `layers[2].dense.units`.
    public let path: String
    /// The line, from 1; 0 for a flag of the command line.
    public let line: Int

    init(node: Node, fileName: String, path: String, fallbackLine: Int) {
        self.node = node
        self.fileName = fileName
        self.path = path
        line = node.mark?.line ?? fallbackLine
    }

    /// Creates the value of a command line's flag, which is read by the rules of a file. Its errors
    /// begin with `flag`.
    public init(_ text: String, flag: String) {
        self.init(
            node: Node(text, .implicit, .plain), fileName: "", path: flag, fallbackLine: 0)
    }

    /// Returns an error at this place.
    public func error(_ problem: String) -> SettingsError {
        SettingsError(fileName: fileName, line: line, path: path, problem: problem)
    }

    /// Whether nothing is written here (`key:`, `key: ~` or `key: null`).
    public var isEmpty: Bool {
        guard let text = plainText else { return false }
        return text.isEmpty || text == "~" || text.lowercased() == "null"
    }

    /// Whether the value is a list.
    public var isList: Bool { node.sequence != nil }
    /// Whether the value is a mapping.
    public var isMapping: Bool { node.mapping != nil }
    /// Whether the value is a single text, number or truth value, and not empty.
    public var isScalar: Bool { node.scalar != nil && !isEmpty }

    /// Returns the text, quoted or plain.
    public func string() throws(SettingsError) -> String {
        guard let scalar = node.scalar, !isEmpty else { throw expected("a text") }
        return scalar.string
    }

    /// Returns the integer, written in decimal digits without quotes. It must lie in `range`.
    public func integer(in range: ClosedRange<Int>) throws(SettingsError) -> Int {
        let limits: String
        if range.upperBound == Int.max {
            limits = range.lowerBound == Int.min ? "" : " of at least \(range.lowerBound)"
        } else {
            limits = " from \(range.lowerBound) to \(range.upperBound)"
        }
        guard let text = plainText,
            text.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == 0x2D }),
            let value = Int(text), range.contains(value)
        else { throw expected("a whole number\(limits)") }
        return value
    }

    /// Returns the integer from 0 to 2⁶⁴ - 1, written in decimal digits without quotes.
    public func unsignedInteger() throws(SettingsError) -> UInt64 {
        guard let text = plainText, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let value = UInt64(text)
        else { throw expected("a whole number from 0 to \(UInt64.max)") }
        return value
    }

    /// Returns the finite number, written in decimal notation without quotes. `requirement`
    /// describes the condition `isAllowed` in words.
    public func double(
        _ requirement: String = "", where isAllowed: (Double) -> Bool = { _ in true }
    ) throws(SettingsError) -> Double {
        guard let text = plainText,
            text.utf8.allSatisfy({ (0x30...0x39).contains($0) || "+-.eE".utf8.contains($0) }),
            let value = Double(text), value.isFinite, isAllowed(value)
        else { throw expected(requirement.isEmpty ? "a number" : "a number \(requirement)") }
        return value
    }

    /// Returns the truth value, written `true` or `false` without quotes.
    public func boolean() throws(SettingsError) -> Bool {
        switch plainText {
        case "true": return true
        case "false": return false
        default: throw expected("true or false")
        }
    }

    /// Returns the text, which must be one of `allowed`.
    public func oneOf(_ allowed: [String]) throws(SettingsError) -> String {
        guard let text = node.scalar?.string, allowed.contains(text) else {
            throw expected("one of \(allowed.joined(separator: ", "))")
        }
        return text
    }

    /// Returns the enumeration case with the raw value that is written here.
    public func oneOf<Choice: RawRepresentable<String> & CaseIterable>(
        _ type: Choice.Type
    ) throws(SettingsError) -> Choice {
        let text = try oneOf(Choice.allCases.map(\.rawValue))
        return Choice(rawValue: text)!
    }

    /// Returns the elements of a list.
    public func list() throws(SettingsError) -> [StrictValue] {
        guard let sequence = node.sequence else { throw expected("a list") }
        return sequence.enumerated().map { index, element in
            StrictValue(
                node: element, fileName: fileName, path: "\(path)[\(index)]", fallbackLine: line)
        }
    }

    /// Returns the keys and values of a mapping.
    public func mapping() throws(SettingsError) -> StrictMapping {
        guard let mapping = node.mapping else { throw expected("keys and values") }
        let entries = mapping.map { key, value in
            let name = key.scalar?.string ?? ""
            return StrictMapping.Entry(
                key: name, line: key.mark?.line ?? line,
                value: StrictValue(
                    node: value, fileName: fileName, path: path.isEmpty ? name : "\(path).\(name)",
                    fallbackLine: key.mark?.line ?? line))
        }
        return StrictMapping(fileName: fileName, line: line, path: path, entries: entries)
    }

    /// Returns the error for a value of another kind than `what`.
    public func expected(_ what: String) -> SettingsError {
        error("expected \(what), found \(found)")
    }

    /// A short description of the value in words, for errors.
    private var found: String {
        if isEmpty { return "nothing" }
        switch node {
        case .scalar(let scalar):
            let short = scalar.string.prefix(60).split(
                separator: "\n", omittingEmptySubsequences: false)
            let text = short.first.map(String.init) ?? ""
            return text.count < scalar.string.count ? "\"\(text)…\"" : "\"\(text)\""
        case .sequence(let sequence): return "a list of \(sequence.count)"
        case .mapping, .alias: return "keys and values"
        }
    }

    /// The text of a plain scalar; nil for a quoted text, a block of text, a list or a mapping.
    private var plainText: String? {
        guard let scalar = node.scalar else { return nil }
        switch scalar.style {
        case .any, .plain: return scalar.string
        default: return nil
        }
    }
}
