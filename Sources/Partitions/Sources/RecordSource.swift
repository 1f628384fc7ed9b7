/// A kind of source: an importer that turns files into the records of a data set.
///
/// A kind is one file in this folder and one line in ``SourceRegistry/all``. Its records are decoded
/// once, into partitions; from then on all readers work with partitions.
public protocol RecordSource: Sendable {
    /// The word before the colon of a specification, for instance "images".
    static var scheme: String { get }
    /// The form of a specification for help texts, for instance "images:DIR".
    static var form: String { get }
    /// What the source reads, in a phrase for help texts and documents.
    static var summary: String { get }
    /// Whether decoding is as cheap as copying. Such a source is imported into memory at each start,
    /// and no other source is; its partitions lie in the cache on the disk.
    static var isBytes: Bool { get }
    /// The version of the decoder. It changes when the same files are decoded to other elements.
    static var decoderVersion: String { get }

    /// Creates the source of a specification. No file is read yet.
    ///
    /// - Throws: `badSetting` when the options do not fit the source.
    init(_ specification: DataSpecification) throws(DataError)

    /// Lists the files that decide the records, without reading them.
    ///
    /// - Throws: `unreadable` when the place does not exist or holds no records.
    func files() throws(DataError) -> FileList

    /// Finds the records and their labels. Elements need not be decoded yet.
    ///
    /// - Parameter files: the result of ``files()``.
    func scan(_ files: FileList) throws(DataError) -> SourceScan
}

extension RecordSource {
    /// Not the kind's default: most sources decode.
    public static var isBytes: Bool { false }
    /// The first version.
    public static var decoderVersion: String { "1" }
}

/// The records that a source has found.
public struct SourceScan: Sendable {
    /// The name of the data set.
    public var name: String
    /// The shape [C, H, W] of every record.
    public var shape: [Int]
    /// The type in which the records are stored.
    public var elementType: DataSetDescription.ElementType
    /// The names of the classes, in the order of the labels; nil where the source has none.
    public var classNames: [String]?
    /// The number of classes; nil when the labels decide it.
    public var classCount: Int?
    /// The number of targets of a record; nil for records with labels.
    public var targetCount: Int?
    /// The training records.
    public var training: any RecordTable
    /// The test records; the table may be empty.
    public var test: any RecordTable
    /// Whether the training records are spread over the partitions by a hash of their names. Records
    /// that lie in an order of their classes need it; otherwise a partition has few classes.
    public var isSpread: Bool
    /// Notes for the user, one line each.
    public var remarks: [String] = []

    /// Creates the description of what was found.
    public init(
        name: String, shape: [Int], elementType: DataSetDescription.ElementType = .U8,
        classNames: [String]? = nil, classCount: Int? = nil, targetCount: Int? = nil,
        training: any RecordTable, test: any RecordTable, isSpread: Bool = true
    ) {
        self.name = name
        self.shape = shape
        self.elementType = elementType
        self.classNames = classNames
        self.classCount = classCount ?? classNames?.count
        self.targetCount = targetCount
        self.training = training
        self.test = test
        self.isSpread = isSpread
    }
}

/// The records of one split of a source, read by number in any order.
///
/// Threading: any thread. Each thread that reads records makes its own ``RecordReader``.
public protocol RecordTable: AnyObject, Sendable {
    /// The number of records.
    var count: Int { get }
    /// The label of each record, [count]; empty for records with targets.
    var labels: [Int32] { get }
    /// The targets, [count, targetCount]; empty for records with labels.
    var targets: [Float] { get }
    /// Returns the name of a record, unique within the data set: a path below the source's directory,
    /// or a file's name and the number of the record, as in "train.csv#17". Names decide where records
    /// are spread to.
    func name(_ record: Int) -> String
    /// Returns the name of the series or of another whole that the record is a part of.
    func group(_ record: Int) -> String
    /// Returns the rows of its series that the record is a window of; nil for a record that is whole.
    func interval(_ record: Int) -> Range<Int>?
    /// Makes a reader of the records.
    func reader() -> any RecordReader
}

extension RecordTable {
    /// None: the records have labels.
    public var targets: [Float] { [] }
    /// The record's own name: it is a whole.
    public func group(_ record: Int) -> String { name(record) }
    /// Nil: it is a whole.
    public func interval(_ record: Int) -> Range<Int>? { nil }
}

/// Decodes the records of a table, with memory of its own.
///
/// Threading: one thread at a time.
public protocol RecordReader: AnyObject {
    /// Decodes a record.
    ///
    /// - Parameters:
    ///   - record: the number of the record in the table.
    ///   - elements: receives the elements, [C, H, W], in the source's element type.
    /// - Throws: `badRecord` or another error that names the file, where it is known the byte, and the
    ///   reason.
    func read(_ record: Int, into elements: UnsafeMutableRawPointer) throws(DataError)

    /// Returns the SHA-256 of what the record is made of; nil to take that of its elements. Copies have
    /// equal digests.
    func digest(_ record: Int) throws(DataError) -> [UInt8]?

    /// Returns the size [H, W] that the record had before it was brought to the set's shape; nil
    /// where records have no size of their own.
    func originalSize(_ record: Int) throws(DataError) -> (height: Int, width: Int)?

    /// Remarks on the records that were read, with how many records each is about. The reader forgets
    /// them.
    func takeRemarks() -> [String: Int]
}

extension RecordReader {
    /// Nil: the elements decide.
    public func digest(_ record: Int) throws(DataError) -> [UInt8]? { nil }
    /// Nil: the records have no size of their own.
    public func originalSize(_ record: Int) throws(DataError) -> (height: Int, width: Int)? { nil }
    /// None.
    public func takeRemarks() -> [String: Int] { [:] }
}
