import Partitions
import Pictures
import StrictYAML

/// The keys of the run file's section `data` that say what is done to records before they are stored.
extension ImageOptions {
    /// Reads the value of `image`: a size, or a mapping.
    package init(reading value: StrictValue) throws(SettingsError) {
        self.init()
        guard value.isMapping else {
            picture.size = try Self.size(value)
            return
        }
        let keys = try value.mapping()
        if let size = keys.value("size") { picture.size = try Self.size(size) }
        if keys.value("channels") != nil {
            picture.channels = try keys.oneOf("channels", ["1", "3"]) == "1" ? 1 : 3
        }
        picture.filter = try keys.oneOf("filter", default: picture.filter)
        picture.fit = try keys.oneOf("fit", default: picture.fit)
        picture.orientation = try keys.oneOf("orientation", default: picture.orientation)
        picture.alpha = try keys.oneOf("alpha", default: picture.alpha)
        picture.sixteenBit = try keys.oneOf("sixteen-bit", default: picture.sixteenBit)
        picture.maximumPixelCount = try keys.integer(
            "maximum-pixels", in: 1...1 << 31, default: picture.maximumPixelCount)
        allowsEmptyClasses = try keys.boolean("allow-empty", default: false)
        if let policy = keys.value("bad-records") {
            guard let read = BadRecordPolicy(try policy.string()) else {
                throw policy.expected("fail, skip N or skip P%, such as skip 10 or skip 0.5%")
            }
            badRecords = read
        }
        try keys.finish()
    }

    /// Reads a size: a number, `HxW` or a list of height and width.
    private static func size(_ value: StrictValue) throws(SettingsError) -> PictureOptions.Size {
        let limits = 1...65_535
        if value.isList {
            let numbers = try value.list()
            guard numbers.count == 2 else { throw value.expected("[height, width]") }
            return PictureOptions.Size(
                height: try numbers[0].integer(in: limits), width: try numbers[1].integer(in: limits))
        }
        let parts = try value.string().split(separator: "x", omittingEmptySubsequences: false)
        let numbers = parts.compactMap { Int($0) }
        guard numbers.count == parts.count, (1...2).contains(numbers.count),
            numbers.allSatisfy(limits.contains)
        else { throw value.expected("a size such as 64, 64x96 (height x width) or [64, 96]") }
        return PictureOptions.Size(height: numbers[0], width: numbers[numbers.count - 1])
    }

    /// The value of the run file; nil for the default.
    package var yaml: String? {
        var keys: [String] = []
        let plain = PictureOptions()
        if let size = picture.size { keys.append("size: [\(size.height), \(size.width)]") }
        if let channels = picture.channels { keys.append("channels: \(channels)") }
        func add<Choice: RawRepresentable<String> & Equatable>(
            _ key: String, _ choice: Choice, _ usual: Choice
        ) {
            if choice != usual { keys.append("\(key): \(choice.rawValue)") }
        }
        add("filter", picture.filter, plain.filter)
        add("fit", picture.fit, plain.fit)
        add("orientation", picture.orientation, plain.orientation)
        add("alpha", picture.alpha, plain.alpha)
        add("sixteen-bit", picture.sixteenBit, plain.sixteenBit)
        if picture.maximumPixelCount != plain.maximumPixelCount {
            keys.append("maximum-pixels: \(picture.maximumPixelCount)")
        }
        if allowsEmptyClasses { keys.append("allow-empty: true") }
        if badRecords != .fail { keys.append("bad-records: \(badRecords)") }
        return keys.isEmpty ? nil : "{\(keys.joined(separator: ", "))}"
    }
}

extension TableOptions {
    /// Reads the value of `table`.
    package init(reading value: StrictValue) throws(SettingsError) {
        self.init()
        let keys = try value.mapping()
        if keys.value("label") != nil { label = try keys.string("label") }
        targets = try keys.names("targets")
        columns = try keys.names("columns")
        if keys.value("shape") != nil {
            var numbers: [Int] = []
            for number in try keys.list("shape", required: true) {
                numbers.append(try number.integer(in: 1...65_535))
            }
            guard numbers.count == 3 else {
                throw keys.error("expected [channels, height, width]", key: "shape")
            }
            shape = numbers
        }
        if let value = keys.value("separator") {
            let text = try value.string()
            guard text.utf8.count == 1, let character = text.first else {
                throw value.expected("one character, such as \";\"")
            }
            separator = character
        }
        try keys.finish()
    }

    /// The value of the run file; nil for the default.
    package var yaml: String? {
        var keys: [String] = []
        if let label { keys.append("label: \(YAMLText.quoted(label))") }
        if !targets.isEmpty { keys.append("targets: \(YAMLText.list(targets))") }
        if !columns.isEmpty { keys.append("columns: \(YAMLText.list(columns))") }
        if let shape { keys.append("shape: \(shape)") }
        if separator != "," { keys.append("separator: \(YAMLText.quoted(String(separator)))") }
        return keys.isEmpty ? nil : "{\(keys.joined(separator: ", "))}"
    }
}

extension SeriesOptions {
    /// Reads the value of `series`.
    package init(reading value: StrictValue, table: inout TableOptions) throws(SettingsError) {
        let keys = try value.mapping()
        let length = try keys.integer("length", in: 1...1_000_000)
        self.init(
            length: length, stride: try keys.integer("stride", in: 1...1_000_000, default: length))
        if keys.value("by") != nil { by = try keys.string("by") }
        if keys.value("time") != nil { time = try keys.string("time") }
        if keys.value("gap") != nil { gap = try keys.double("gap", "above 0") { $0 > 0 } }
        labelAt = try keys.oneOf("label-at", default: .last)
        // The columns of a series are those of its table.
        if keys.value("label") != nil { table.label = try keys.string("label") }
        if keys.value("columns") != nil { table.columns = try keys.names("columns") }
        try keys.finish()
    }

    /// The value of the run file.
    package var yaml: String {
        var keys = ["length: \(length)", "stride: \(stride)"]
        if let by { keys.append("by: \(YAMLText.quoted(by))") }
        if let time { keys.append("time: \(YAMLText.quoted(time))") }
        if let gap { keys.append("gap: \(gap)") }
        if labelAt != .last { keys.append("label-at: \(labelAt.rawValue)") }
        return "{\(keys.joined(separator: ", "))}"
    }
}

extension LabelRules {
    /// Reads the value of `labels`.
    package init(reading value: StrictValue) throws(SettingsError) {
        self.init()
        let keys = try value.mapping()
        let pairs = try keys.mapping("map")
        for name in pairs.keys { map[name] = try pairs.string(name) }
        try pairs.finish()
        drop = try keys.names("drop")
        isCoarse = try keys.boolean("coarse", default: false)
        try keys.finish()
    }

    /// The value of the run file; nil for the default.
    package var yaml: String? {
        var keys: [String] = []
        if !map.isEmpty {
            let pairs = map.sorted { $0.key < $1.key }.map {
                "\(YAMLText.quoted($0.key)): \(YAMLText.quoted($0.value))"
            }
            keys.append("map: {\(pairs.joined(separator: ", "))}")
        }
        if !drop.isEmpty { keys.append("drop: \(YAMLText.list(drop))") }
        if isCoarse { keys.append("coarse: true") }
        return keys.isEmpty ? nil : "{\(keys.joined(separator: ", "))}"
    }
}

extension RecordFilter {
    /// Reads the value of `filter`.
    package init(reading value: StrictValue) throws(SettingsError) {
        self.init()
        let keys = try value.mapping()
        labels = try keys.names("labels")
        if let size = keys.value("min-size") {
            let numbers = try size.list()
            guard numbers.count == 2 else { throw size.expected("[height, width]") }
            minimumHeight = try numbers[0].integer(in: 0...65_535)
            minimumWidth = try numbers[1].integer(in: 0...65_535)
        }
        isUnique = try keys.boolean("unique", default: false)
        try keys.finish()
    }

    /// The value of the run file; nil for the default.
    package var yaml: String? {
        var keys: [String] = []
        if !labels.isEmpty { keys.append("labels: \(YAMLText.list(labels))") }
        if minimumHeight > 0 || minimumWidth > 0 {
            keys.append("min-size: [\(minimumHeight), \(minimumWidth)]")
        }
        if isUnique { keys.append("unique: true") }
        return keys.isEmpty ? nil : "{\(keys.joined(separator: ", "))}"
    }
}

extension SplitRule {
    /// Reads the value of `split`: a share, or a mapping.
    package init(reading value: StrictValue) throws(SettingsError) {
        func share(_ value: StrictValue) throws(SettingsError) -> Double {
            try value.double("above 0 and below 1") { $0 > 0 && $0 < 1 }
        }
        guard value.isMapping else {
            self.init(test: try share(value))
            return
        }
        let keys = try value.mapping()
        let test = try share(keys.requiredValue("test"))
        if keys.value("group") != nil {
            self.init(test: test, by: .group(try keys.string("group")))
        } else {
            let kinds: [String: Key] = [
                "hash": .hash, "stratified": .stratified, "series": .series, "time": .time,
            ]
            let name = try keys.oneOf("by", kinds.keys.sorted(), default: "hash")
            self.init(test: test, by: kinds[name] ?? .hash)
        }
        try keys.finish()
    }

    /// The value of the run file.
    package var yaml: String {
        let key =
            switch by {
            case .hash: "by: hash"
            case .stratified: "by: stratified"
            case .series: "by: series"
            case .time: "by: time"
            case .group(let pattern): "group: \(YAMLText.quoted(pattern))"
            }
        return "{test: \(test), \(key)}"
    }
}

extension UnionMember {
    /// Reads an element of `union`.
    package init(reading value: StrictValue) throws(SettingsError) {
        let keys = try value.mapping()
        var options = SourceOptions()
        if let value = keys.value("image") { options.image = try ImageOptions(reading: value) }
        if let value = keys.value("table") { options.table = try TableOptions(reading: value) }
        if let value = keys.value("series") {
            options.series = try SeriesOptions(reading: value, table: &options.table)
        }
        let source = try keys.requiredValue("source")
        let text = try source.string()
        let specification: DataSpecification
        do throws(DataError) {
            specification = try DataSpecification(text, options: options)
        } catch {
            throw source.error("\(error)")
        }
        self.init(
            specification, weight: try keys.integer("weight", in: 1...1000, default: 1))
        try keys.finish()
    }

    /// The element of the run file's list.
    package var yaml: String {
        var keys = ["source: \(YAMLText.quoted("\(specification)"))"]
        let options = specification.options
        if let image = options.image.yaml { keys.append("image: \(image)") }
        if let table = options.table.yaml { keys.append("table: \(table)") }
        if let series = options.series { keys.append("series: \(series.yaml)") }
        if weight != 1 { keys.append("weight: \(weight)") }
        return "{\(keys.joined(separator: ", "))}"
    }
}

extension StrictMapping {
    /// Returns the texts of a list of names; none for an absent key.
    fileprivate func names(_ key: String) throws(SettingsError) -> [String] {
        var names: [String] = []
        for value in try list(key) { names.append(try value.string()) }
        return names
    }
}
