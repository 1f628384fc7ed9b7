/// The keys and values at one place of a settings file.
///
/// Ask for every key that may stand there, then call ``finish()``: it refuses the keys nobody asked
/// for. A getter with a default returns it when the key is absent; one without throws.
///
/// Threading: used by one thread, while it reads the file.
public final class StrictMapping {
    struct Entry {
        let key: String
        let line: Int
        let value: StrictValue
    }

    public let fileName: String
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

    /// A mapping without keys in the place of `value`, for what may be written as a bare word.
    public convenience init(empty value: StrictValue) {
        self.init(fileName: value.fileName, line: value.line, path: value.path, entries: [])
    }

    /// The keys that are given, in the file's order.
    public var keys: [String] { entries.map(\.key) }

    /// An error at this place, or at one of its keys.
    public func error(_ problem: String, key: String? = nil) -> SettingsError {
        let entry = entries.first { $0.key == key }
        return SettingsError(
            fileName: fileName, line: entry?.line ?? line, path: key.map(fullPath) ?? path,
            problem: problem)
    }

    /// The value of a key, or nil when it is not given. Counts as asking for it.
    public func value(_ key: String) -> StrictValue? {
        if !askedKeys.contains(key) { askedKeys.append(key) }
        return entries.first { $0.key == key }?.value
    }

    /// The value of a key that must be given.
    public func requiredValue(_ key: String) throws(SettingsError) -> StrictValue {
        guard let value = value(key) else { throw error("is required here, but missing", key: key) }
        return value
    }

    public func string(_ key: String, default fallback: String? = nil) throws(SettingsError)
        -> String
    {
        if let fallback, value(key) == nil { return fallback }
        return try requiredValue(key).string()
    }

    public func integer(
        _ key: String, in range: ClosedRange<Int> = Int.min...Int.max, default fallback: Int? = nil
    ) throws(SettingsError) -> Int {
        if let fallback, value(key) == nil { return fallback }
        return try requiredValue(key).integer(in: range)
    }

    public func unsignedInteger(
        _ key: String, default fallback: UInt64? = nil
    ) throws(SettingsError) -> UInt64 {
        if let fallback, value(key) == nil { return fallback }
        return try requiredValue(key).unsignedInteger()
    }

    /// A finite number; `requirement` says in words what `isAllowed` asks ("of at least 0").
    public func double(
        _ key: String, _ requirement: String = "", default fallback: Double? = nil,
        where isAllowed: (Double) -> Bool = { _ in true }
    ) throws(SettingsError) -> Double {
        if let fallback, value(key) == nil { return fallback }
        return try requiredValue(key).double(requirement, where: isAllowed)
    }

    public func boolean(_ key: String, default fallback: Bool? = nil) throws(SettingsError) -> Bool {
        if let fallback, value(key) == nil { return fallback }
        return try requiredValue(key).boolean()
    }

    public func oneOf(
        _ key: String, _ allowed: [String], default fallback: String? = nil
    ) throws(SettingsError) -> String {
        if let fallback, value(key) == nil { return fallback }
        return try requiredValue(key).oneOf(allowed)
    }

    public func oneOf<Choice: RawRepresentable<String> & CaseIterable>(
        _ key: String, _ type: Choice.Type = Choice.self, default fallback: Choice? = nil
    ) throws(SettingsError) -> Choice {
        if let fallback, value(key) == nil { return fallback }
        return try requiredValue(key).oneOf(type)
    }

    /// The elements of a list; an absent key is an empty list unless `required`.
    public func list(_ key: String, required: Bool = false) throws(SettingsError) -> [StrictValue] {
        if !required, value(key) == nil { return [] }
        return try requiredValue(key).list()
    }

    /// The mapping under a key; an absent or empty one is an empty mapping, so defaults apply.
    public func mapping(_ key: String) throws(SettingsError) -> StrictMapping {
        guard let value = value(key), !value.isEmpty else {
            return StrictMapping(
                fileName: fileName, line: line, path: fullPath(key), entries: [])
        }
        return try value.mapping()
    }

    /// Refuses every key that nobody asked for, naming what is allowed and the nearest spelling.
    public func finish() throws(SettingsError) {
        guard let unknown = entries.first(where: { !askedKeys.contains($0.key) }) else { return }
        throw error(
            Self.unknownText("key", unknown.key, allowed: askedKeys), key: unknown.key)
    }

    /// `unknown key "foo"; did you mean "fool"? Allowed here: bar, fool`.
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
