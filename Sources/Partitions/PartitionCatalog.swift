import FoundationEssentials

/// The properties of a data set that a reader on another host must know before it gets partitions:
/// the description, without transformations, and the partitions as a manifest lists them.
public struct PartitionCatalog: Sendable, Codable, Hashable {
    /// The description of the data set, without transformations.
    public let description: DataSetDescription
    /// The partitions of both splits.
    public let manifest: PartitionManifest

    init(description: DataSetDescription, manifest: PartitionManifest) {
        self.description = description
        self.manifest = manifest
    }

    /// Whether the data set has this partition.
    public func contains(_ reference: PartitionReference) -> Bool {
        manifest.entries(reference.split).indices.contains(reference.index)
    }

    /// Returns the SHA-256 of a partition's file in hexadecimal. The partition must exist.
    public func sha256(_ reference: PartitionReference) -> String {
        manifest.entry(reference).sha256
    }

    /// The references of all partitions, training before test.
    public var references: [PartitionReference] {
        DataSplit.allCases.flatMap { split in
            manifest.entries(split).indices.map { PartitionReference(split, $0) }
        }
    }

    /// The catalog as JSON, the form in which it is sent.
    public var json: [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(self) else {
            preconditionFailure("a catalog of integers and strings did not encode")
        }
        return [UInt8](data)
    }

    /// Parses a catalog that was received, and checks everything in it that can be checked.
    ///
    /// - Parameters:
    ///   - bytes: the JSON, at most 64 MiB.
    ///   - place: the origin of the bytes, for errors.
    /// - Throws: `badManifest` when the catalog is malformed or contradicts itself; `emptySet` when
    ///   there are no training records.
    public static func parse(_ bytes: [UInt8], from place: String) throws(DataError)
        -> PartitionCatalog
    {
        func bad(_ what: String, _ expected: String, _ found: String) -> DataError {
            DataError(.badManifest, file: place, what: what, expected: expected, found: found)
        }
        guard bytes.count <= PartitionManifest.maximumByteCount else {
            throw bad(
                "size of the catalog", "at most \(PartitionManifest.maximumByteCount) bytes",
                "\(bytes.count)")
        }
        let catalog: PartitionCatalog
        do {
            catalog = try JSONDecoder().decode(PartitionCatalog.self, from: Data(bytes))
        } catch {
            throw bad("JSON", "a catalog of partitions", "something else")
        }
        let (description, manifest) = (catalog.description, catalog.manifest)
        try manifest.check(file: place)
        guard description.shape == manifest.shape, description.elementType == manifest.dtype,
            description.classCount == manifest.classes,
            description.classNames == manifest.classNames,
            description.targetCount == manifest.targets,
            description.classHistogram == manifest.classHistogram,
            description.trainingCount == manifest.recordCount(.training),
            description.testCount == manifest.recordCount(.test)
        else { throw bad("catalog", "a manifest of the data it describes", "another one") }
        return catalog
    }
}
