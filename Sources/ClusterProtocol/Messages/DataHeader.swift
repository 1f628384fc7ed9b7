/// What a data message carries.
public enum DataKind: UInt8, Sendable, CaseIterable {
    /// Worker to coordinator: a request for a stretch of an object.
    case ask = 1
    /// Coordinator to worker: the stretch, or as much of it as there is.
    case piece = 2
    /// Coordinator to worker: the object is not available; the payload says why.
    case unavailable = 3
}

/// What a worker can ask for. Objects have numbers instead of paths, so that no file can be named.
public struct DataObject: Hashable, Sendable {
    /// The kind of an object.
    public enum Kind: UInt8, Sendable, CaseIterable {
        /// The description of the data set, with the SHA-256 of each partition.
        case catalog = 0
        /// A partition of the training records.
        case training = 1
        /// A partition of the test records.
        case test = 2
        /// The weights that are frozen, with their SHA-256.
        case frozen = 3
    }

    /// The kind of the object.
    public var kind: Kind
    /// The number of the partition within its split, from 0; 0 for the catalog.
    public var index: Int

    /// Creates the name of an object.
    public init(_ kind: Kind, _ index: Int = 0) {
        self.kind = kind
        self.index = index
    }
}

/// The first frame of every data message: 40 bytes, little-endian.
///
/// | offset | field |
/// |---|---|
/// | 0 | magic `CVDA` |
/// | 4 | version, UInt16 |
/// | 6 | kind, UInt8 |
/// | 7 | object, UInt8 |
/// | 8 | index, UInt32 |
/// | 12 | number of bytes asked for, UInt32 |
/// | 16 | offset, UInt64 |
/// | 24 | bytes of the whole object, UInt64; 0 in a request |
/// | 32 | bytes of the payload, UInt64 |
public struct DataHeader: Hashable, Sendable {
    /// The length of a header in bytes.
    public static let byteCount = 40
    /// The first four bytes, `CVDA`, as a little-endian number.
    public static let magic: UInt32 = 0x4144_5643
    /// The version of the header's layout; headers of other versions are refused.
    public static let version: UInt16 = 1
    /// The longest stretch that a request can ask for, in bytes: 256 KiB.
    public static let maximumPieceByteCount = 256 << 10

    /// What the message carries.
    public var kind: DataKind
    /// The object that the message is about.
    public var object: DataObject
    /// Where the stretch begins in the object, in bytes.
    public var offset: Int
    /// The number of bytes asked for, at most `maximumPieceByteCount`; 0 in an answer.
    public var askedByteCount: Int
    /// The length of the whole object in bytes; 0 in a request.
    public var totalByteCount: Int
    /// The length of the message's payload in bytes.
    public var payloadByteCount: Int

    /// Creates a header.
    public init(
        _ kind: DataKind, _ object: DataObject, offset: Int = 0, askedByteCount: Int = 0,
        totalByteCount: Int = 0, payloadByteCount: Int = 0
    ) {
        self.kind = kind
        self.object = object
        self.offset = offset
        self.askedByteCount = askedByteCount
        self.totalByteCount = totalByteCount
        self.payloadByteCount = payloadByteCount
    }

    /// Why bytes are not a data header.
    public enum Flaw: String, Error, Hashable, Sendable {
        case size, magic, version, kind, object, field
    }

    /// The header's 40 bytes.
    public var bytes: [UInt8] {
        var writer = LittleEndianWriter(capacity: Self.byteCount)
        writer.append(Self.magic)
        writer.append(Self.version)
        writer.append(kind.rawValue)
        writer.append(object.kind.rawValue)
        writer.append(UInt32(object.index))
        writer.append(UInt32(askedByteCount))
        writer.append(UInt64(offset))
        writer.append(UInt64(totalByteCount))
        writer.append(UInt64(payloadByteCount))
        return writer.bytes
    }

    /// Reads a header that came over the network.
    ///
    /// - Throws: The `Flaw` found first; nothing in the bytes is taken on trust.
    public init(bytes: UnsafeRawBufferPointer) throws(Flaw) {
        guard bytes.count == Self.byteCount else { throw .size }
        var reader = LittleEndianReader(bytes)
        guard reader.next(UInt32.self) == Self.magic else { throw .magic }
        guard reader.next(UInt16.self) == Self.version else { throw .version }
        guard let kind = DataKind(rawValue: reader.next(UInt8.self)) else { throw .kind }
        guard let object = DataObject.Kind(rawValue: reader.next(UInt8.self)) else { throw .object }
        let index = Int(reader.next(UInt32.self))
        let asked = Int(reader.next(UInt32.self))
        let fields = (0..<3).map { _ in reader.next(UInt64.self) }
        guard fields.allSatisfy({ $0 < 1 << 48 }), asked <= Self.maximumPieceByteCount else {
            throw .field
        }
        self.init(
            kind, DataObject(object, index), offset: Int(fields[0]), askedByteCount: asked,
            totalByteCount: Int(fields[1]), payloadByteCount: Int(fields[2]))
    }
}
