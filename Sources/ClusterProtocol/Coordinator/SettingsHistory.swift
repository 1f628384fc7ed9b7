/// A setting that decides bits and that a user changed when resuming the run.
public struct SettingChange: Hashable, Codable, Sendable, CustomStringConvertible {
    /// The setting's key in the run file, for instance `data.partitions`.
    public var key: String
    /// The value before the change.
    public var from: String
    /// The value since the change.
    public var to: String

    /// Creates a change.
    public init(key: String, from: String, to: String) {
        self.key = key
        self.from = from
        self.to = to
    }

    /// The change as `data.partitions 8 -> 4`, with fingerprints shortened.
    public var description: String { "\(key) \(Self.short(from)) -> \(Self.short(to))" }

    /// Shortens a fingerprint to its first 16 digits for people; returns other text as it is.
    public static func short(_ text: String) -> String {
        let isFingerprint = text.count == 64 && text.allSatisfy(\.isHexDigit)
        return isFingerprint ? "\(text.prefix(16))..." : text
    }
}

/// The settings of a run that were changed, and the steps from which the new values hold.
public struct SettingsHistory: Hashable, Sendable {
    /// The changes that hold from one step on.
    public struct Entry: Hashable, Sendable {
        /// The first step with the new settings.
        public var step: Step
        /// The settings that changed there.
        public var changes: [SettingChange]
        /// Where the data was before, when that changed; nil otherwise.
        public var formerSource: String?

        /// Creates an entry.
        public init(step: Step, changes: [SettingChange], formerSource: String? = nil) {
            self.step = step
            self.changes = changes
            self.formerSource = formerSource
        }
    }

    /// The entries in the order of their steps, each step once.
    public private(set) var entries: [Entry] = []

    /// Creates a history without changes.
    public init() {}

    /// One line for each changed setting, as `step 500: data.partitions 8 -> 4`.
    public var lines: [String] {
        entries.flatMap { entry in entry.changes.map { "step \(entry.step): \($0)" } }
    }

    /// Adds the changes that hold from a step on.
    ///
    /// An entry replaces all former ones of its step and of later steps, since the run went back to
    /// that step.
    public mutating func add(_ entry: Entry) {
        entries.removeAll { $0.step >= entry.step }
        if !entry.changes.isEmpty { entries.append(entry) }
    }

    /// Returns settings that were written at a step, with all changes since then applied.
    public func settings(_ written: [String: String], at step: Step) -> [String: String] {
        var result = written
        for entry in entries where entry.step >= step {
            for change in entry.changes { result[change.key] = change.to }
        }
        return result
    }
}
