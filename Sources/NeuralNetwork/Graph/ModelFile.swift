import StrictYAML

extension ModelSpecification {
    /// Reads a model file. The model's name is the file's name without its ending.
    ///
    /// - Throws: ``ModelError`` that names the file, and the line or the layer, when the file is
    ///   not a model file or when its layers do not fit one another.
    public static func load(file path: String) throws(ModelError) -> Self {
        let fileName = path.split(separator: "/").last.map(String.init) ?? path
        let stem = fileName.lastIndex(of: ".").map { String(fileName[..<$0]) } ?? fileName
        let mapping: StrictMapping
        do throws(SettingsError) {
            mapping = try StrictDocument.load(file: path)
        } catch {
            throw .settings(error)
        }
        return try ModelSpecification(name: stem, mapping: mapping)
    }

    /// Creates a model from the keys `input` and `layers` of a model file, or of the key `model` of
    /// a run file.
    ///
    /// - Throws: ``ModelError``, as ``load(file:)`` does.
    public init(name: String, mapping: StrictMapping) throws(ModelError) {
        let read: ModelSpecification
        do throws(SettingsError) {
            read = try ModelSpecification(reading: mapping, name: name)
        } catch {
            throw .settings(error)
        }
        self = try Self.checked(read, fileName: mapping.fileName)
    }

    private init(reading mapping: StrictMapping, name: String) throws(SettingsError) {
        var inputShape: [Int] = []
        let input = try mapping.requiredValue("input")
        for side in try input.list() { inputShape.append(try side.integer(in: 1...65536)) }
        if inputShape.count != 3 { throw input.expected("[channels, height, width]") }
        var reader = LayerReader(ModelBuilder(name: name, inputShape: inputShape))
        try reader.read(try mapping.list("layers", required: true))
        try mapping.finish()
        self = reader.model.specification
    }

    /// Returns the specification when its shapes fit.
    private static func checked(
        _ specification: ModelSpecification, fileName: String
    ) throws(ModelError) -> Self {
        do throws(ModelError) {
            _ = try Network(specification)
            return specification
        } catch {
            throw error.inFile(fileName)
        }
    }

    /// The model file in its canonical form: composites are written out as layers, and the keys of
    /// a kind stand in a fixed order. The text reads back to equal layers. Its bytes decide
    /// ``Network/fingerprint``.
    public var yaml: String {
        var text = "input: [\(inputShape.map(String.init).joined(separator: ", "))]\nlayers:\n"
        for layer in layers { text += "  - \(layer.yaml)\n" }
        return text
    }
}

extension LayerSpecification {
    /// The layer as an entry of `layers`: its kind, its settings, its name and what it reads.
    public var yaml: String {
        var settings = layer.settings.map { "\($0.key): \($0.text)" }
        if let name { settings.append("name: \(Self.quoted(name))") }
        if let inputs {
            let names = inputs.map(Self.quoted).joined(separator: ", ")
            settings.append("from: [\(names)]")
        }
        return "\(kind): {\(settings.joined(separator: ", "))}"
    }

    /// Returns a name as a YAML string. ``LayerReader`` lets no name contain a quotation mark.
    private static func quoted(_ name: String) -> String { "\"\(name)\"" }
}

/// Reads the entries of `layers`, and writes composites out as the layers that they stand for.
private struct LayerReader {
    var model: ModelBuilder

    private static let composites = ["gate", "parallel", "repeat", "residual"]

    /// The largest number of entries that are read. An entry in a `repeat` counts once a round.
    private static let maximumEntryCount = 1 << 16

    /// The number of the round in each `repeat` around the entry, the innermost one last.
    private var rounds: [Int] = []
    private var entryCount = 0

    init(_ model: ModelBuilder) { self.model = model }

    mutating func read(_ entries: [StrictValue]) throws(SettingsError) {
        for entry in entries { try read(entry) }
    }

    /// Reads one entry: a mapping whose only key is the kind, or only the kind.
    private mutating func read(_ value: StrictValue) throws(SettingsError) {
        entryCount += 1
        guard model.layers.count < NetworkBuilder.maximumNodeCount,
            entryCount <= Self.maximumEntryCount
        else {
            throw value.error(
                "brings the model over \(NetworkBuilder.maximumNodeCount) layers")
        }
        let kind: String
        let settings: StrictMapping
        if value.isMapping {
            let entry = try value.mapping()
            guard entry.keys.count == 1 else {
                throw value.expected("one layer kind, as in `- dense: {units: 10}`")
            }
            kind = entry.keys[0]
            settings = try entry.mapping(kind)
        } else {
            kind = try value.string()
            settings = StrictMapping(empty: value)
        }
        let name = try settings.value("name").map(readName)
        let inputs = try settings.value("from").map(readInputs)
        if Self.composites.contains(kind) {
            if let inputs { model.branch(from: try single(inputs, settings)) }
            try readComposite(kind, settings, name)
        } else if let type = LayerRegistry.kind(named: kind) {
            let layer = try type.init(reading: settings)
            model.add(LayerSpecification(layer), name: name, from: inputs)
        } else {
            let known = (LayerRegistry.kinds + Self.composites).sorted()
            throw value.error(StrictMapping.unknownText("layer kind", kind, allowed: known))
        }
        try settings.finish()
    }

    private mutating func readComposite(
        _ kind: String, _ settings: StrictMapping, _ name: String?
    ) throws(SettingsError) {
        let start = model.last
        switch kind {
        case "repeat":
            let times = try settings.integer("times", in: 1...1024)
            let layers = try settings.list("layers", required: true)
            if name != nil { throw settings.error("a repeat has no name", key: "name") }
            for round in 0..<times {
                rounds.append(round)
                try read(layers)
                rounds.removeLast()
            }
        case "residual":
            try read(try settings.list("layers", required: true))
            let end = model.last
            model.branch(from: start)
            try read(try settings.list("shortcut"))
            model.add(.add, name: name, from: [end, model.last])
        case "gate":
            let layers = try settings.list("layers", required: true)
            if layers.isEmpty { throw settings.error("expected at least one layer", key: "layers") }
            try read(layers)
            model.add(.multiply, name: name, from: [start, model.last])
        default:
            var ends: [ModelBuilder.Value] = []
            let branches = try settings.list("branches", required: true)
            if branches.count < 2 {
                throw settings.error(
                    "expected at least two branches, found \(branches.count)", key: "branches")
            }
            for branch in branches {
                model.branch(from: start)
                try read(try branch.list())
                ends.append(model.last)
            }
            model.add(.concat, name: name, from: ends)
        }
    }

    /// Reads a name. In a `repeat`, the first `{n}` stands for the number of the round, from 0.
    private func readName(_ value: StrictValue) throws(SettingsError) -> String {
        var name = try value.string()
        if let round = rounds.last, let place = name.firstRange(of: "{n}") {
            name.replaceSubrange(place, with: "\(round)")
        }
        let isPlain = name.utf8.allSatisfy {
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0 | 0x20)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || "._-".utf8.contains($0)
        }
        guard isPlain, (1...128).contains(name.utf8.count) else {
            throw value.expected("a name of at most 128 letters, digits, dots, _ and -")
        }
        return name
    }

    private func readInputs(
        _ value: StrictValue
    ) throws(SettingsError) -> [ModelBuilder.Value] {
        var names: [ModelBuilder.Value] = []
        for name in value.isList ? try value.list() : [value] {
            names.append(ModelBuilder.Value(name: try readName(name)))
        }
        return names
    }

    private func single(
        _ inputs: [ModelBuilder.Value], _ settings: StrictMapping
    ) throws(SettingsError) -> ModelBuilder.Value {
        guard inputs.count == 1 else {
            throw settings.error(
                "expected one name, since a composite reads one layer", key: "from")
        }
        return inputs[0]
    }
}
