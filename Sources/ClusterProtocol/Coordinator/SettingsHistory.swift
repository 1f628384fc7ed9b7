/// A setting that decides bits and was changed on purpose when its run was taken up again.
public struct SettingChange: Hashable, Codable, Sendable, CustomStringConvertible {
    /// The run file's key, for instance `data.partitions`.
    public var key: String
    public var from: String
    public var to: String

    public init(key: String, from: String, to: String) {
        self.key = key
        self.from = from
        self.to = to
    }

    public var description: String { "\(key) \(Self.short(from)) -> \(Self.short(to))" }

    /// Fingerprints are long; their beginning will do for people.
    public static func short(_ text: String) -> String {
        let isFingerprint = text.count == 64 && text.allSatisfy(\.isHexDigit)
        return isFingerprint ? "\(text.prefix(16))..." : text
    }
}

/// What was changed in a run on its way: from which step other settings hold, and which.
public struct SettingsHistory: Hashable, Sendable {
    public struct Entry: Hashable, Sendable {
        /// The first step with the new settings.
        public var step: Step
        public var changes: [SettingChange]
        /// Where the data was before, when that changed.
        public var formerSource: String?

        public init(step: Step, changes: [SettingChange], formerSource: String? = nil) {
            self.step = step
            self.changes = changes
            self.formerSource = formerSource
        }
    }

    /// In the order of their steps, each step once.
    public private(set) var entries: [Entry] = []

    public init() {}

    /// A line each setting: `step 500: data.partitions 8 -> 4`
    public var lines: [String] {
        entries.flatMap { entry in entry.changes.map { "step \(entry.step): \($0)" } }
    }

    /// Takes in what was said to hold from a step on. What was said of this step and later ones
    /// before holds no longer: the run went back to it.
    public mutating func add(_ entry: Entry) {
        entries.removeAll { $0.step >= entry.step }
        if !entry.changes.isEmpty { entries.append(entry) }
    }

    /// Settings that were written at a step, with what was changed from then on.
    public func settings(_ written: [String: String], at step: Step) -> [String: String] {
        var result = written
        for entry in entries where entry.step >= step {
            for change in entry.changes { result[change.key] = change.to }
        }
        return result
    }
}
