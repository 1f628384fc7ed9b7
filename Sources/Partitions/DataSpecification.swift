/// Where data comes from, as the user writes it: `fashion-mnist`, `idx:DIR`, `cifar10:DIR` or
/// `partitions:DIR`.
public enum DataSpecification: Sendable, Hashable, CustomStringConvertible {
    case fashionMNIST
    case idx(directory: String)
    case cifar10(directory: String)
    case partitions(directory: String)

    /// The forms of a specification, for help texts.
    public static let forms = "fashion-mnist, idx:DIR, cifar10:DIR, partitions:DIR"

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

    /// Where its files are, for a source that was given a directory.
    public var directory: String? {
        switch self {
        case .fashionMNIST: nil
        case .idx(let directory), .cifar10(let directory), .partitions(let directory): directory
        }
    }

    /// The same form with the directory that `change` makes of its own.
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

/// The two parts of a data set.
public enum DataSplit: String, Sendable, Hashable, Codable, CaseIterable {
    case training, test
}
