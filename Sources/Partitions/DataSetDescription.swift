import Checksums

/// The properties of a data set without its records: enough to build a network and to compare two
/// copies.
public struct DataSetDescription: Sendable, Codable, Hashable {
    /// The type in which the elements of an image are stored, by its safetensors name.
    public enum ElementType: String, Sendable, Codable, Hashable {
        /// Bytes 0 to 255, or single-precision floats.
        case U8, F32

        var byteCount: Int { self == .U8 ? 1 : 4 }
    }

    /// The name of the data set.
    public var name: String
    /// The shape [C, H, W] of one image.
    public var shape: [Int]
    /// The number of classes; labels are 0 to `classCount` - 1. It is 0 for records with targets.
    public var classCount: Int
    /// The number of targets of a record; nil for records with labels.
    public var targetCount: Int?
    /// The number of training records of each class; empty for records with targets.
    public var classHistogram: [Int]
    /// The number of training records.
    public var trainingCount: Int
    /// The number of test records; may be 0.
    public var testCount: Int
    /// The type in which the images are stored.
    public var elementType: ElementType
    /// The names of the classes, in the order of the labels; nil where they are not known.
    public var classNames: [String]?
    /// SHA-256 in hexadecimal of the decoded contents. Equal contents have equal fingerprints,
    /// whatever the files are called and however they are compressed. For a partitioned directory
    /// the fingerprint covers the manifest's checksums.
    public var fingerprint: String
    /// The fingerprint before the last call of `transformed(by:)`; nil when `fingerprint` covers no
    /// transformation.
    public private(set) var sourceFingerprint: String?
    /// The shape [C, H, W] before any transformation; nil when it is the same as `shape`.
    public private(set) var storedShape: [Int]?

    /// Creates the description of a data set without transformations.
    public init(
        name: String, shape: [Int], classCount: Int, targetCount: Int? = nil,
        classHistogram: [Int], trainingCount: Int, testCount: Int, elementType: ElementType,
        fingerprint: String, classNames: [String]? = nil
    ) {
        self.name = name
        self.shape = shape
        self.classCount = classCount
        self.targetCount = targetCount
        self.classHistogram = classHistogram
        self.trainingCount = trainingCount
        self.testCount = testCount
        self.elementType = elementType
        self.fingerprint = fingerprint
        self.classNames = classNames
    }

    /// The number of elements in one image, C · H · W.
    public var elementCount: Int { shape.reduce(1, *) }

    /// Returns the name of a label: that of its class, or its number.
    public func className(_ label: Int32) -> String { RecordListing.className(label, classNames) }

    /// Returns the number of records in a split.
    public func recordCount(_ split: DataSplit) -> Int {
        split == .training ? trainingCount : testCount
    }

    /// Returns the description of data as it is stored behind `transformations`. The fingerprints
    /// differ, and the shape where a transformation changes it.
    ///
    /// - Throws: `badSetting` when a transformation does not fit what comes before it.
    public func transformed(
        by transformations: [Transformation]
    ) throws(DataError) -> DataSetDescription {
        let pipeline = try TransformationPipeline(
            transformations, shape: shape, elementType: elementType, hasLabels: targetCount == nil)
        return transformed(by: transformations, shape: pipeline.outputShape)
    }

    /// Returns the description of this data behind `transformations`, which make images of `shape`.
    func transformed(by transformations: [Transformation], shape: [Int]) -> DataSetDescription {
        guard !transformations.isEmpty else { return self }
        var copy = self
        let names = transformations.map(\.canonicalText).joined(separator: "\n")
        if shape != copy.shape { copy.storedShape = storedShape ?? copy.shape }
        copy.shape = shape
        copy.sourceFingerprint = sourceFingerprint ?? fingerprint
        copy.fingerprint = hexadecimal(SHA256.hash(data: Array("\(fingerprint)\n\(names)".utf8)))
        return copy
    }
}
