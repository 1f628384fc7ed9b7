/// The source of a data set, as the user writes it: `fashion-mnist`, `images:DIR` and so on, with
/// the options of the run file's section `data`.
public struct DataSpecification: Sendable, Hashable, CustomStringConvertible {
    /// The word before the colon.
    public let scheme: String
    /// What follows the colon: a directory, a file or a pattern of files; "" for a source that has a
    /// place of its own.
    public let location: String
    /// What is done to the records before they are stored.
    public var options = SourceOptions()

    /// The accepted forms of a specification, for help texts.
    public static var forms: String { SourceRegistry.all.map { $0.form }.joined(separator: ", ") }

    init(scheme: String, location: String, options: SourceOptions = SourceOptions()) {
        self.scheme = scheme
        self.location = location
        self.options = options
    }

    /// Debian's package `dataset-fashion-mnist`.
    public static let fashionMNIST = DataSpecification(
        scheme: FashionMNISTSource.scheme, location: "")
    /// IDX files in the format of MNIST.
    public static func idx(directory: String) -> DataSpecification {
        DataSpecification(scheme: IDXSource.scheme, location: directory)
    }
    /// CIFAR-10 in its binary form.
    public static func cifar10(directory: String) -> DataSpecification {
        DataSpecification(scheme: CIFARSource.scheme, location: directory)
    }
    /// A partitioned directory: a manifest and one safetensors file for each partition.
    public static func partitions(directory: String) -> DataSpecification {
        DataSpecification(scheme: PartitionsSource.scheme, location: directory)
    }

    /// Parses a specification.
    ///
    /// - Throws: `unknownSource` when the text has none of the accepted forms.
    public init(
        _ text: String, options: SourceOptions = SourceOptions()
    ) throws(DataError) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let location = parts.count == 2 ? String(parts[1]) : ""
        let isUnion = text == UnionSource.scheme
        guard let kind = isUnion ? UnionSource.self : SourceRegistry.kind(String(parts[0])),
            isUnion || (parts.count == 2) == kind.form.contains(":"),
            parts.count == 1 || !location.isEmpty
        else {
            throw DataError(
                .unknownSource, file: "data source", what: "unknown form",
                expected: "one of \(Self.forms)",
                found: "'\(text)'")
        }
        self.init(scheme: kind.scheme, location: location, options: options)
    }

    /// The places that the user gave: directories, files or patterns of files.
    public var places: [String] {
        (location.isEmpty ? [] : [location]) + options.union.flatMap(\.specification.places)
    }

    /// Returns this specification with its place replaced by the result of `change`, also in the
    /// members of a union.
    public func with(directory change: (String) -> String) -> DataSpecification {
        var copy = DataSpecification(
            scheme: scheme, location: location.isEmpty ? "" : change(location), options: options)
        copy.options.union = options.union.map {
            UnionMember($0.specification.with(directory: change), weight: $0.weight)
        }
        return copy
    }

    /// The text that parses back to this value, but for its options.
    public var description: String { location.isEmpty ? scheme : "\(scheme):\(location)" }

    /// The kind of the source.
    var kind: any RecordSource.Type {
        // The initialisers take registered schemes only.
        SourceRegistry.kind(scheme) ?? FashionMNISTSource.self
    }

    /// Creates the source.
    ///
    /// - Throws: `badSetting` when the options do not fit the source.
    func source() throws(DataError) -> any RecordSource {
        func make<Source: RecordSource>(_ type: Source.Type) throws(DataError) -> any RecordSource {
            try Source(self)
        }
        guard !options.labels.isCoarse || scheme == CIFAR100Source.scheme else {
            throw DataError(
                .badSetting, file: "data.labels.coarse", what: "coarse labels",
                expected: "the source \(CIFAR100Source.form)", found: "\(self)")
        }
        return try make(kind)
    }

    /// Whether the specification names a partitioned directory whose records are taken as they are.
    public var isPartitioned: Bool {
        scheme == PartitionsSource.scheme && options == SourceOptions()
    }

    /// Whether the records are decoded into the cache on the disk, where a second start finds them.
    public var isCompiled: Bool { !isPartitioned && (!kind.isBytes || options != SourceOptions()) }
}

/// One of the two splits of a data set.
public enum DataSplit: String, Sendable, Hashable, Codable, CaseIterable {
    case training, test
}
