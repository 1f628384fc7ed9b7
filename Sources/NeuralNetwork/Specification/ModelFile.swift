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
        var layers: [LayerSpecification] = []
        for layer in try mapping.list("layers", required: true) {
            layers.append(try LayerSpecification(layer))
        }
        try mapping.finish()
        self.init(name: name, inputShape: inputShape, layers: layers)
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

    /// The model file in its canonical form: every key is written out, and the text reads back to
    /// an equal value.
    public var yaml: String {
        var text = "input: [\(inputShape.map(String.init).joined(separator: ", "))]\nlayers:\n"
        for layer in layers { text += "  - \(layer.yaml)\n" }
        return text
    }
}

extension LayerSpecification {
    private static let kinds = ["conv2d", "max-pool2d", "flatten", "dense", "relu", "dropout"]

    /// Reads one entry of `layers`: a mapping whose only key is the kind, or only the kind.
    fileprivate init(_ value: StrictValue) throws(SettingsError) {
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
        self = try Self.read(kind, settings, value)
        try settings.finish()
    }

    private static func read(
        _ kind: String, _ settings: StrictMapping, _ value: StrictValue
    ) throws(SettingsError) -> LayerSpecification {
        switch kind {
        case "conv2d":
            return .conv2D(
                filters: try settings.integer("filters", in: 1...65536),
                kernel: try size(settings.requiredValue("kernel")),
                stride: try settings.value("stride").map(size) ?? Size2D(1),
                padding: try settings.oneOf("padding", default: .valid),
                activation: try settings.oneOf("activation", default: .linear),
                initializer: try settings.oneOf("initializer", default: .glorotUniform))
        case "max-pool2d":
            let window = try size(settings.requiredValue("size"))
            return .maxPool2D(
                size: window, stride: try settings.value("stride").map(size) ?? window,
                padding: try settings.oneOf("padding", default: .valid))
        case "flatten": return .flatten
        case "dense":
            return .dense(
                units: try settings.integer("units", in: 1...1_048_576),
                activation: try settings.oneOf("activation", default: .linear),
                initializer: try settings.oneOf("initializer", default: .glorotUniform))
        case "relu": return .relu
        case "dropout":
            let rate = try settings.double("rate", "of at least 0 and below 1") {
                $0 >= 0 && $0 < 1
            }
            return .dropout(rate: rate)
        default:
            throw value.error(StrictMapping.unknownText("layer kind", kind, allowed: kinds))
        }
    }

    /// Reads a height and a width: `[3, 5]`, or `3` for a square.
    private static func size(_ value: StrictValue) throws(SettingsError) -> Size2D {
        guard value.isList else { return Size2D(try value.integer(in: 1...4096)) }
        let sides = try value.list()
        if sides.count != 2 { throw value.expected("a whole number or [height, width]") }
        return Size2D(
            height: try sides[0].integer(in: 1...4096), width: try sides[1].integer(in: 1...4096))
    }

    fileprivate var yaml: String {
        func text(_ size: Size2D) -> String { "[\(size.height), \(size.width)]" }
        switch self {
        case .conv2D(let filters, let kernel, let stride, let padding, let activation, let start):
            return
                "conv2d: {filters: \(filters), kernel: \(text(kernel)), stride: \(text(stride)), "
                + "padding: \(padding.rawValue), activation: \(activation.rawValue), "
                + "initializer: \(start.rawValue)}"
        case .maxPool2D(let size, let stride, let padding):
            return "max-pool2d: {size: \(text(size)), stride: \(text(stride)), "
                + "padding: \(padding.rawValue)}"
        case .flatten: return "flatten: {}"
        case .dense(let units, let activation, let start):
            return "dense: {units: \(units), activation: \(activation.rawValue), "
                + "initializer: \(start.rawValue)}"
        case .relu: return "relu: {}"
        case .dropout(let rate): return "dropout: {rate: \(rate)}"
        }
    }
}
