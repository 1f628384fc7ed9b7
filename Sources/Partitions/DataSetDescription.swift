import Checksums

/// What a data set is, without its records: enough to build a network and to compare two copies.
public struct DataSetDescription: Sendable, Codable, Hashable {
    public enum ElementType: String, Sendable, Codable, Hashable {
        case U8, F32

        var byteCount: Int { self == .U8 ? 1 : 4 }
    }

    public var name: String
    /// [C, H, W] of one image.
    public var shape: [Int]
    public var classCount: Int
    public var trainingCount: Int
    public var testCount: Int
    public var elementType: ElementType
    /// SHA-256 in hexadecimal: equal for equal decoded contents, whatever the files are called and
    /// however they are compressed. For a partitioned directory it covers the manifest's checksums.
    public var fingerprint: String
    /// Before any transformation; nil: as `fingerprint`.
    public private(set) var sourceFingerprint: String?

    public init(
        name: String, shape: [Int], classCount: Int, trainingCount: Int, testCount: Int,
        elementType: ElementType, fingerprint: String
    ) {
        self.name = name
        self.shape = shape
        self.classCount = classCount
        self.trainingCount = trainingCount
        self.testCount = testCount
        self.elementType = elementType
        self.fingerprint = fingerprint
    }

    /// Numbers in one image.
    public var elementCount: Int { shape.reduce(1, *) }

    public func recordCount(_ split: DataSplit) -> Int {
        split == .training ? trainingCount : testCount
    }

    /// The description of this data behind `transformations`; only the fingerprint differs.
    public func transformed(by transformations: [Transformation]) -> DataSetDescription {
        guard !transformations.isEmpty else { return self }
        var copy = self
        let names = transformations.map(\.canonicalText).joined(separator: "\n")
        copy.sourceFingerprint = fingerprint
        copy.fingerprint = hexadecimal(SHA256.hash(data: Array("\(fingerprint)\n\(names)".utf8)))
        return copy
    }
}
