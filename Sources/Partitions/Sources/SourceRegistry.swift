/// All kinds of sources. Help texts, errors and documents list what stands here.
public enum SourceRegistry {
    /// The kinds, in the order of the help texts.
    public static let all: [any RecordSource.Type] = [
        FashionMNISTSource.self, ImagesSource.self, IDXSource.self, CIFARSource.self,
        CIFAR100Source.self, NPYSource.self, CSVSource.self, TarSource.self, PartitionsSource.self,
    ]

    /// Returns the kind with this scheme; nil for an unknown one.
    static func kind(_ scheme: String) -> (any RecordSource.Type)? {
        if scheme == UnionSource.scheme { return UnionSource.self }
        return all.first { $0.scheme == scheme }
    }
}
