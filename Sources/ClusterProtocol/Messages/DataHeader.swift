/// What a data message carries.
public enum DataKind: UInt8, Sendable, CaseIterable {
    /// Worker to coordinator: send me this stretch.
    case ask = 1
    /// Coordinator to worker: the stretch, or what there is of it.
    case piece = 2
    /// Coordinator to worker: it cannot be had; the payload says why.
    case unavailable = 3
}

/// What a worker can ask for: nothing is named by a path.
public struct DataObject: Hashable, Sendable {
    public enum Kind: UInt8, Sendable, CaseIterable {
        /// What the data set is, and the SHA-256 of each partition.
        case catalog = 0
        case training = 1
        case test = 2
    }

    public var kind: Kind
    /// Of the partition, from 0 within its split; 0 for the catalog.
    public var index: Int

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
/// | 12 | count of bytes asked for, UInt32 |
/// | 16 | offset, UInt64 |
/// | 24 | bytes of the whole object, UInt64; 0 when asking |
/// | 32 | bytes of the payload, UInt64 |
public struct DataHeader: Hashable, Sendable {
    public static let byteCount = 40
    public static let magic: UInt32 = 0x4144_5643
    public static let version: UInt16 = 1
    /// Longest stretch that can be asked for.
    public static let maximumPieceByteCount = 256 << 10

    public var kind: DataKind
    public var object: DataObject
    public var offset: Int
    public var askedByteCount: Int
    public var totalByteCount: Int
    public var payloadByteCount: Int

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

    /// Why bytes are no data header.
    public enum Flaw: String, Error, Hashable, Sendable {
        case size, magic, version, kind, object, field
    }

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

    /// Reads a header; foreign bytes are refused, never trusted.
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
