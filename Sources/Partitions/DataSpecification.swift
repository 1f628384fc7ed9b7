/// The source of a data set, as the user writes it: `fashion-mnist`, `idx:DIR`, `cifar10:DIR` or
/// `partitions:DIR`.
public enum DataSpecification: Sendable, Hashable, CustomStringConvertible {
    /// Debian's package `dataset-fashion-mnist`.
    case fashionMNIST
    /// IDX files in the format of MNIST.
    case idx(directory: String)
    /// CIFAR-10 in its binary form.
    case cifar10(directory: String)
    /// A partitioned directory: a manifest and one safetensors file for each partition.
    case partitions(directory: String)

    /// The accepted forms of a specification, for help texts.
    public static let forms = "fashion-mnist, idx:DIR, cifar10:DIR, partitions:DIR"

    /// Parses a specification.
    ///
    /// - Throws: `unknownSource` when the text has none of the accepted forms.
    public init(_ text: String) throws(DataError) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let directory = parts.count == 2 ? String(parts[1]) : ""
        switch (parts[0], directory.isEmpty) {
        case ("fashion-mnist", true) where parts.count == 1: self = .fashionMNIST
        case ("idx", false): self = .idx(directory: directory)
        case ("cifar10", false): self = .cifar10(directory: directory)
        case ("partitions", false): self = .partitions(directory: directory)
        default:
            throw DataError(
                .unknownSource, file: "data source", what: "unknown form",
                expected: "one of \(Self.forms)",
                found: "'\(text)'")
        }
    }

    /// The directory that the user gave; nil for `fashion-mnist`.
    public var directory: String? {
        switch self {
        case .fashionMNIST: nil
        case .idx(let directory), .cifar10(let directory), .partitions(let directory): directory
        }
    }

    /// Returns this specification with its directory replaced by the result of `change`.
    /// `fashion-mnist` has no directory and stays unchanged.
    public func with(directory change: (String) -> String) -> DataSpecification {
        switch self {
        case .fashionMNIST: .fashionMNIST
        case .idx(let directory): .idx(directory: change(directory))
        case .cifar10(let directory): .cifar10(directory: change(directory))
        case .partitions(let directory): .partitions(directory: change(directory))
        }
    }

    /// The text that parses back to this value.
    public var description: String {
        switch self {
        case .fashionMNIST: "fashion-mnist"
        case .idx(let directory): "idx:\(directory)"
        case .cifar10(let directory): "cifar10:\(directory)"
        case .partitions(let directory): "partitions:\(directory)"
        }
    }
}

/// One of the two splits of a data set.
public enum DataSplit: String, Sendable, Hashable, Codable, CaseIterable {
    case training, test
}
