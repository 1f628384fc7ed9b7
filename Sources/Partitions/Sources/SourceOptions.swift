import Pictures

/// The options of a source: what is done to its records before they are stored.
///
/// Equal options give equal stored records; ``canonicalText`` is part of the cache's key.
public struct SourceOptions: Sendable, Hashable {
    /// How pictures are decoded and brought to one shape.
    public var image = ImageOptions()
    /// How tables are read.
    public var table = TableOptions()
    /// How long series are cut into windows; nil for records that are whole.
    public var series: SeriesOptions?
    /// Changes of the labels.
    public var labels = LabelRules()
    /// The records that are kept.
    public var filter = RecordFilter()
    /// How test records are taken from the training records; nil for a source's own test records.
    public var split: SplitRule?
    /// The share of the training records that is kept, above 0 and at most 1.
    public var sample = 1.0
    /// The members of a union.
    public var union: [UnionMember] = []

    /// Creates options that change nothing.
    public init() {}

    /// All options that are not the default, a line each.
    var canonicalText: String {
        var lines: [String] = []
        func add(_ name: String, _ text: String, unless isDefault: Bool) {
            if !isDefault { lines.append("\(name) \(text)") }
        }
        add("image", image.canonicalText, unless: image == ImageOptions())
        add("table", table.canonicalText, unless: table == TableOptions())
        add("series", series?.canonicalText ?? "", unless: series == nil)
        add("labels", labels.canonicalText, unless: labels == LabelRules())
        add("filter", filter.canonicalText, unless: filter == RecordFilter())
        add("split", split?.canonicalText ?? "", unless: split == nil)
        add("sample", "\(sample)", unless: sample == 1)
        for member in union {
            let own = member.specification.options.canonicalText.split(separator: "\n")
            lines.append("member \(member.weight) \(member.specification.scheme)")
            lines += own.map { "  \($0)" }
        }
        return lines.joined(separator: "\n")
    }
}

/// A list of names as canonical text, in which a name may hold anything.
func quotedList(_ names: [String]) -> String {
    "[\(names.map(\.debugDescription).joined(separator: ", "))]"
}

/// How many records may be left out because they cannot be decoded.
public enum BadRecordPolicy: Sendable, Hashable, CustomStringConvertible {
    /// None: the first one ends the import.
    case fail
    /// At most so many.
    case skip(count: Int)
    /// At most so many of a hundred records.
    case skipPercent(Double)

    /// The text of the run file.
    public var description: String {
        switch self {
        case .fail: "fail"
        case .skip(let count): "skip \(count)"
        case .skipPercent(let share): "skip \(share)%"
        }
    }

    /// Parses `fail`, `skip N` or `skip P%`; nil for another text.
    public init?(_ text: String) {
        if text == "fail" {
            self = .fail
            return
        }
        let parts = text.split(separator: " ")
        guard parts.count == 2, parts[0] == "skip" else { return nil }
        if parts[1].hasSuffix("%") {
            guard let share = Double(parts[1].dropLast()), (0...100).contains(share) else { return nil }
            self = .skipPercent(share)
        } else {
            guard let count = Int(parts[1]), (0...1_000_000_000).contains(count) else { return nil }
            self = .skip(count: count)
        }
    }

    /// Returns the largest number of bad ones among `count` records.
    func limit(of count: Int) -> Int {
        switch self {
        case .fail: 0
        case .skip(let limit): limit
        case .skipPercent(let share): Int(Double(count) * share / 100)
        }
    }
}

/// How pictures are decoded and brought to one shape.
public struct ImageOptions: Sendable, Hashable {
    /// Size, channels, filter, fit, orientation, alpha and depth.
    public var picture = PictureOptions()
    /// Whether a class folder without pictures is no error.
    public var allowsEmptyClasses = false
    /// What happens to records that cannot be decoded. It holds for all sources.
    public var badRecords = BadRecordPolicy.fail

    /// Creates the default: three channels, and the size of the first picture, which all must have.
    public init() {}

    var canonicalText: String {
        "\(picture.canonicalText) empty \(allowsEmptyClasses) bad \(badRecords)"
    }
}

/// How tables are read.
public struct TableOptions: Sendable, Hashable {
    /// The column with the label.
    public var label: String?
    /// The columns with targets, in place of a label.
    public var targets: [String] = []
    /// The columns with the elements of a record, in order; empty for all other columns.
    public var columns: [String] = []
    /// The shape [C, H, W] of a record; nil for [columns, 1, 1], and for [1, H, W] of a square number
    /// of columns whose names begin with "pixel".
    public var shape: [Int]?
    /// The character between fields.
    public var separator: Character = ","

    /// Creates the default: the label is in the column `label`.
    public init() {}

    var canonicalText: String {
        "label \(quotedList(label.map { [$0] } ?? [])) targets \(quotedList(targets)) "
            + "columns \(quotedList(columns)) shape \(shape ?? []) separator \(separator)"
    }
}

/// How long series are cut into windows.
public struct SeriesOptions: Sendable, Hashable {
    /// Which row of a window gives its label.
    public enum LabelPlace: String, Sendable, Hashable, CaseIterable {
        /// The last row, or the most frequent label of the window, the smallest of several.
        case last, majority
    }

    /// The number of rows of a window.
    public var length: Int
    /// The number of rows from one window to the next.
    public var stride: Int
    /// The column whose value names the series; nil where a file is one series.
    public var by: String?
    /// The column with the time in seconds; nil where rows are equally far apart.
    public var time: String?
    /// The largest step of the time within a window, in seconds; nil for any.
    public var gap: Double?
    /// Which row gives the label.
    public var labelAt = LabelPlace.last

    /// Creates options of windows that do not overlap.
    public init(length: Int, stride: Int? = nil) {
        self.length = length
        self.stride = stride ?? length
    }

    var canonicalText: String {
        "length \(length) stride \(stride) by \(quotedList(by.map { [$0] } ?? [])) "
            + "time \(quotedList(time.map { [$0] } ?? [])) gap \(gap.map { "\($0)" } ?? "none") "
            + "label-at \(labelAt.rawValue)"
    }
}

/// Changes of the labels, by the names of the classes.
public struct LabelRules: Sendable, Hashable {
    /// The new name of a class. Several classes may get the same name; they become one class.
    public var map: [String: String] = [:]
    /// The classes whose records are left out, by their names before the change.
    public var drop: [String] = []
    /// Whether a source with fine and coarse labels gives the coarse ones.
    public var isCoarse = false

    /// Creates rules that change nothing.
    public init() {}

    var canonicalText: String {
        let pairs = map.sorted { $0.key < $1.key }.map { quotedList([$0.key, $0.value]) }
        return "map [\(pairs.joined(separator: ", "))] drop \(quotedList(drop))"
            + (isCoarse ? " coarse" : "")
    }
}

/// The records that are kept.
public struct RecordFilter: Sendable, Hashable {
    /// The classes that are kept, by their names after `labels`; empty for all.
    public var labels: [String] = []
    /// The smallest size of a picture before it is resized, in pixels.
    public var minimumHeight = 0
    /// The smallest width.
    public var minimumWidth = 0
    /// Whether only the first of several records with equal elements is kept.
    public var isUnique = false

    /// Creates a filter that keeps all records.
    public init() {}

    var canonicalText: String {
        "labels \(quotedList(labels)) min \(minimumHeight) \(minimumWidth) unique \(isUnique)"
    }
}

/// How test records are taken from the training records.
public struct SplitRule: Sendable, Hashable {
    /// What decides the side of a record.
    public enum Key: Sendable, Hashable {
        /// The elements of the record; copies are on one side.
        case hash
        /// What the first group of a regular expression matches in the record's name. Records with the
        /// same match are on one side.
        case group(String)
        /// The elements of the record, with the same share of each class.
        case stratified
        /// The series that a window is cut from.
        case series
        /// The end of each series, by its number of windows. A window that overlaps both sides is left
        /// out.
        case time
    }

    /// The share of the test records, above 0 and below 1.
    public var test: Double
    /// What decides the side of a record.
    public var by: Key

    /// Creates a rule.
    public init(test: Double, by: Key = .hash) {
        self.test = test
        self.by = by
    }

    var canonicalText: String {
        switch by {
        case .hash: "\(test) hash"
        case .group(let pattern): "\(test) group \(pattern.debugDescription)"
        case .stratified: "\(test) stratified"
        case .series: "\(test) series"
        case .time: "\(test) time"
        }
    }
}

/// One source of a union.
public struct UnionMember: Sendable, Hashable {
    /// The source. Its own options are those of tables, series and labels that differ from the
    /// union's.
    public var specification: DataSpecification
    /// How many times each training record is read in an epoch, at least 1.
    public var weight: Int

    /// Creates a member.
    public init(_ specification: DataSpecification, weight: Int = 1) {
        self.specification = specification
        self.weight = weight
    }
}
