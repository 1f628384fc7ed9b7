import FoundationEssentials

/// CIFAR-100 in its binary form: each record is the byte of its coarse label, the byte of its fine
/// label, and 3 x 32 x 32 image bytes.
///
/// `train.bin` is the training data. `test.bin` is the test split and may be missing.
/// Source: Krizhevsky's page of the CIFAR-100 data set, sections "The CIFAR-100 dataset" and
/// "Binary version".
struct CIFAR100Source: BytesSource {
    static let scheme = "cifar100"
    static let form = "cifar100:DIR"
    static let summary = "CIFAR-100 in its binary form"

    let name: String
    let classCount: Int?
    let classNames: [String]?
    private let directory: String
    private let isCoarse: Bool

    /// Creates the source. Its location is the directory of the two files, or the one that contains
    /// `cifar-100-binary`.
    init(_ specification: DataSpecification) {
        let directory = specification.location
        let inner = "\(directory)/cifar-100-binary"
        self.directory = FileManager.default.fileExists(atPath: inner) ? inner : directory
        isCoarse = specification.options.labels.isCoarse
        let names = isCoarse ? Self.coarseNames : Self.fineNames
        classNames = names
        classCount = names.count
        name = isCoarse ? "cifar100-coarse" : "cifar100"
    }

    func stream(_ split: DataSplit) throws(DataError) -> any RecordStream {
        let file = "\(directory)/\(split == .training ? "train" : "test").bin"
        guard FileManager.default.fileExists(atPath: file) else {
            guard split == .training else {
                return EmptyRecordStream(shape: try stream(.training).shape, place: directory)
            }
            try requireDirectory(directory, holding: "train.bin and test.bin")
            throw DataError(
                .unreadable, file: directory, what: "missing CIFAR-100 records",
                expected: "train.bin", found: "none",
                advice: "unpack cifar-100-binary.tar.gz there")
        }
        return try CIFARRecordStream(
            paths: [file], labelByteCount: 2, labelOffset: isCoarse ? 0 : 1)
    }

    private static let coarseNames = [
        "aquatic_mammals", "fish", "flowers", "food_containers", "fruit_and_vegetables",
        "household_electrical_devices", "household_furniture", "insects", "large_carnivores",
        "large_man-made_outdoor_things", "large_natural_outdoor_scenes",
        "large_omnivores_and_herbivores", "medium_mammals", "non-insect_invertebrates", "people",
        "reptiles", "small_mammals", "trees", "vehicles_1", "vehicles_2",
    ]

    private static let fineNames = [
        "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle",
        "bottle", "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle",
        "caterpillar", "cattle", "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch",
        "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish", "forest", "fox",
        "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion",
        "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom",
        "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree",
        "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road",
        "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake",
        "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank",
        "telephone",
        "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale",
        "willow_tree", "wolf", "woman", "worm",
    ]
}
