/// The keys and values at one place of a settings file.
///
/// A reader asks for every key that may stand here, then calls ``finish()``, which refuses every
/// other key. A getter with a default returns the default when the key is absent; a getter without
/// one throws. Every getter throws ``SettingsError`` when the value has another kind or range than
/// asked.
///
/// Threading: one thread uses it while it reads the file.
public final class StrictMapping {
    struct Entry {
        let key: String
        let line: Int
        let value: StrictValue
    }

    /// The file's name as the user gave it.
    public let fileName: String
    /// The line, from 1, that errors at this place name.
    public let line: Int
    /// The path of keys that leads here; empty for the root.
    public let path: String
    private let entries: [Entry]
    private var askedKeys: [String] = []

    init(fileName: String, line: Int, path: String, entries: [Entry]) {
        self.fileName = fileName
        self.line = line
        self.path = path
        self.entries = entries
    }

    /// Creates a mapping without keys in the place of `value`, for a mapping that may be written as
    /// a single word.
    public convenience init(empty value: StrictValue) {
        self.init(fileName: value.fileName, line: value.line, path: value.path, entries: [])
    }

    /// The keys in the file, in the file's order.
    public var keys: [String] { entries.map(\.key) }

    /// Returns an error at this place, or at one of its keys.
    public func error(_ problem: String, key: String? = nil) -> SettingsError {
        let entry = entries.first { $0.key == key }
        return SettingsError(
            fileName: fileName, line: entry?.line ?? line, path: key.map(fullPath) ?? path,
            problem: problem)
    }

    /// Returns the value of a key, or nil when the key is absent. This counts as asking for the
    /// key.
    public func value(_ key: String) -> StrictValue? {
        if !askedKeys.contains(key) { askedKeys.append(key) }
        return entries.first { $0.key == key }?.value
    }

    /// Returns the value of a key that must be given.
    public func requiredValue(_ key: String) throws(SettingsError) -> StrictValue {
        guard let value = value(key) else { throw error("is required here, but missing", key: key) }
        return value
    }

    /// Returns the text of a key.
    public func string(_ key: String, default fallback: String? = nil) throws(SettingsError)
        -> String
    {
        if let fallback, value(key) == nil { return fallback }
        return try requiredValue(key).string()
    }

    /// Returns the integer of a key. It must lie in `range`.
    public func integer(
        _ key: String, in range: ClosedRange<Int> = Int.min...Int.max, default fallback: Int? = nil
    ) throws(SettingsError) -> Int {
        if let fallback, value(key) == nil { return fallback }
        return try requiredValue(key).integer(in: range)
    }

    /// Returns the integer of a key, from 0 to 2⁶⁴ - 1.
    public func unsignedInteger(
        _ key: String, default fallback: UInt64? = nil
    ) throws(SettingsError) -> UInt64 {
        if let fallback, value(key) == nil { return fallback }
        return try requiredValue(key).unsignedInteger()
    }

    /// Returns the finite number of a key. `requirement` describes the condition `isAllowed` in
    /// words ("of at least 0").
    public func double(
        _ key: String, _ requirement: String = "", default fallback: Double? = nil,
        where isAllowed: (Double) -> Bool = { _ in true }
    ) throws(SettingsError) -> Double {
        if let fallback, value(key) == nil { return fallback }
        return try requiredValue(key).double(requirement, where: isAllowed)
    }

    /// Returns the truth value of a key, `true` or `false`.
    public func boolean(_ key: String, default fallback: Bool? = nil) throws(SettingsError) -> Bool {
        if let fallback, value(key) == nil { return fallback }
        return try requiredValue(key).boolean()
    }

    /// Returns the text of a key. It must be one of `allowed`.
    public func oneOf(
        _ key: String, _ allowed: [String], default fallback: String? = nil
    ) throws(SettingsError) -> String {
        if let fallback, value(key) == nil { return fallback }
        return try requiredValue(key).oneOf(allowed)
    }

    /// Returns the enumeration case of a key, written as its raw value.
    public func oneOf<Choice: RawRepresentable<String> & CaseIterable>(
        _ key: String, _ type: Choice.Type = Choice.self, default fallback: Choice? = nil
    ) throws(SettingsError) -> Choice {
        if let fallback, value(key) == nil { return fallback }
        return try requiredValue(key).oneOf(type)
    }

    /// Returns the elements of a list. An absent key gives an empty list unless it is `required`.
    public func list(_ key: String, required: Bool = false) throws(SettingsError) -> [StrictValue] {
        if !required, value(key) == nil { return [] }
        return try requiredValue(key).list()
    }

    /// Returns the mapping under a key. An absent or empty value gives an empty mapping, so that
    /// the defaults of its keys apply.
    public func mapping(_ key: String) throws(SettingsError) -> StrictMapping {
        guard let value = value(key), !value.isEmpty else {
            return StrictMapping(
                fileName: fileName, line: line, path: fullPath(key), entries: [])
        }
        return try value.mapping()
    }

    /// Refuses every key that was not asked for. The error names the allowed keys and the nearest
    /// spelling.
    ///
    /// - Throws: ``SettingsError`` at the first such key.
    public func finish() throws(SettingsError) {
        guard let unknown = entries.first(where: { !askedKeys.contains($0.key) }) else { return }
        throw error(
            Self.unknownText("key", unknown.key, allowed: askedKeys), key: unknown.key)
    }

    /// Returns a text such as `unknown key "foo"; did you mean "fool"? allowed here: bar, fool`.
    public static func unknownText(_ noun: String, _ name: String, allowed: [String]) -> String {
        let sorted = allowed.sorted()
        let nearest = Spelling.nearest(to: name, among: sorted)
        let hint = nearest.map { "did you mean \"\($0)\"? " } ?? ""
        let list =
            sorted.isEmpty
            ? "nothing is allowed here" : "allowed here: " + sorted.joined(separator: ", ")
        return "unknown \(noun) \"\(name)\"; \(hint)\(list)"
    }

    private func fullPath(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }
}
