import FoundationEssentials

/// What a reader elsewhere must know of a data set before its partitions come: its description,
/// without transformations, and its partitions as a manifest lists them.
public struct PartitionCatalog: Sendable, Codable, Hashable {
    public let description: DataSetDescription
    public let manifest: PartitionManifest

    init(description: DataSetDescription, manifest: PartitionManifest) {
        self.description = description
        self.manifest = manifest
    }

    /// Whether there is such a partition.
    public func contains(_ reference: PartitionReference) -> Bool {
        manifest.entries(reference.split).indices.contains(reference.index)
    }

    /// SHA-256 of a partition's file.
    public func sha256(_ reference: PartitionReference) -> String {
        manifest.entry(reference).sha256
    }

    /// Every partition.
    public var references: [PartitionReference] {
        DataSplit.allCases.flatMap { split in
            manifest.entries(split).indices.map { PartitionReference(split, $0) }
        }
    }

    /// As it travels.
    public var json: [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(self) else {
            preconditionFailure("a catalog of integers and strings did not encode")
        }
        return [UInt8](data)
    }

    /// Reads what came from elsewhere, and checks all of it that can be checked.
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
            description.trainingCount == manifest.recordCount(.training),
            description.testCount == manifest.recordCount(.test)
        else { throw bad("catalog", "a manifest of the data it describes", "another one") }
        return catalog
    }
}
