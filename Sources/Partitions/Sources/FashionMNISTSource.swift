import Glibc

/// Fashion-MNIST as Debian's package `dataset-fashion-mnist` installs it.
struct FashionMNISTSource: BytesSource {
    static let scheme = "fashion-mnist"
    static let form = "fashion-mnist"
    static let summary = "Debian's package dataset-fashion-mnist"

    /// The directory into which the package puts its files.
    static let directory = "/usr/share/datasets/fashion-mnist"

    let name = "fashion-mnist"
    let classCount: Int? = 10
    /// Source: Xiao, Rasul, Vollgraf, "Fashion-MNIST" (2017), table 2.
    let classNames: [String]? = [
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
        "Ankle boot",
    ]

    init(_ specification: DataSpecification) {}

    /// Opens a split for reading.
    ///
    /// - Throws: `missingPackage` when the directory cannot be read.
    func stream(_ split: DataSplit) throws(DataError) -> any RecordStream {
        guard access(Self.directory, R_OK | X_OK) == 0 else {
            throw DataError(
                .missingPackage, file: Self.directory, what: "Fashion-MNIST is not installed",
                expected: "the files of Debian's package dataset-fashion-mnist",
                found: "no directory",
                advice: "run: apt-get install dataset-fashion-mnist")
        }
        return try IDXFiles(directory: Self.directory).stream(split, mayLackTest: false)
    }
}
