/// How an item of a NumPy array is stored as a record.
struct NPYLayout: Hashable, CustomStringConvertible {
    /// The largest number of elements of a record.
    static let maximumElementCount = 1 << 28

    /// The shape [C, H, W].
    var shape: [Int]
    var type: DataSetDescription.ElementType
    /// Whether the channels come last in the array.
    var isInterleaved = false

    var description: String {
        "\(type.rawValue) \(shape)" + (isInterleaved ? " with the channels last" : "")
    }

    var elementCount: Int { shape.reduce(1, *) }

    /// Creates a layout.
    init(shape: [Int], type: DataSetDescription.ElementType) {
        self.shape = shape
        self.type = type
    }

    /// Throws `badSetting` for a shape of the options that is none.
    static func check(_ shape: [Int]?) throws(DataError) {
        guard let shape else { return }
        guard shape.count == 3, shape.allSatisfy({ (1...65_535).contains($0) }) else {
            throw DataError(
                .badSetting, file: "data.table.shape", what: "shape of a record",
                expected: "three numbers [C, H, W] from 1 to 65535", found: "\(shape)")
        }
    }

    /// Decides the shape of the records.
    ///
    /// One dimension is [F, 1, 1], two are [1, H, W]. Three are [C, H, W], unless the last is 1, 3
    /// or 4 and the first is not: then they are [H, W, C], as pictures lie in NumPy.
    ///
    /// - Parameters:
    ///   - item: the dimensions of an item.
    ///   - shape: the shape of the options, which the items are taken to have; nil for the rule
    ///     above.
    /// - Throws: `sizeMismatch` for an item that fits no shape.
    init(
        item: [Int], _ element: NPYHeader.Element, _ shape: [Int]?, file: String
    ) throws(DataError) {
        type = element == .uint8 ? .U8 : .F32
        let channels = [1, 3, 4]
        if let shape {
            self.shape = shape
        } else {
            switch item.count {
            case 0: self.shape = [1, 1, 1]
            case 1: self.shape = [item[0], 1, 1]
            case 2: self.shape = [1, item[0], item[1]]
            case 3 where channels.contains(item[2]) && !channels.contains(item[0]):
                self.shape = [item[2], item[0], item[1]]
                isInterleaved = item[2] > 1
            case 3: self.shape = item
            default: self.shape = []
            }
        }
        // Three numbers of 16 bits have a product of at most 48 bits.
        guard self.shape.count == 3, self.shape.allSatisfy({ (1...65_535).contains($0) }),
            elementCount == item.reduce(1, *)
        else {
            throw DataError(
                .sizeMismatch, file: file, what: "shape of a record",
                expected: shape.map { "the elements of \($0), as data.table.shape says" }
                    ?? "at most three dimensions, each at most 65535",
                found: "\(item)", advice: "give data.table.shape, for instance [1, 28, 28]")
        }
        guard elementCount <= Self.maximumElementCount else {
            throw DataError(
                .sizeMismatch, file: file, what: "elements of a record",
                expected: "at most \(Self.maximumElementCount)", found: "\(item)")
        }
    }
}

/// Reads items of NumPy arrays as records.
///
/// Memory: one item, or two.
/// Threading: one thread at a time.
final class NPYRecordDecoder {
    private let layout: NPYLayout
    private let count: Int
    private let bytes: UnsafeMutableRawBufferPointer
    private let floats: UnsafeMutablePointer<Float>?

    /// Creates a decoder for arrays of one layout and type.
    init(_ layout: NPYLayout, _ element: NPYHeader.Element) {
        self.layout = layout
        count = layout.elementCount
        bytes = .allocate(byteCount: count * element.byteCount, alignment: 16)
        floats = element == .uint8 || !layout.isInterleaved ? nil : .allocate(capacity: count)
    }

    deinit {
        bytes.deallocate()
        floats?.deallocate()
    }

    /// Reads a record.
    ///
    /// - Parameters:
    ///   - first: the number of its first element in the array.
    ///   - what: the record, for errors.
    /// - Throws: `badRecord` for an element that cannot be stored.
    func read(
        _ array: NPYArray, first: Int, into elements: UnsafeMutableRawPointer,
        what: @autoclosure () -> String
    ) throws(DataError) {
        try array.read(first, into: bytes)
        guard let source = bytes.baseAddress else { return }
        let channels = layout.shape[0]
        if array.header.element == .uint8 {
            if layout.isInterleaved {
                Self.part(source, channels, count, into: elements, of: UInt8.self)
            } else {
                elements.copyMemory(from: source, byteCount: count)
            }
            return
        }
        let target = floats ?? elements.assumingMemoryBound(to: Float.self)
        if let flaw = array.convert(UnsafeRawBufferPointer(bytes), into: target, count: count) {
            throw DataError(
                .badRecord, file: array.file.name, what: "\(what()), element \(flaw.index)",
                expected: flaw.expected, found: flaw.found)
        }
        if let floats {
            let source = UnsafeMutableRawPointer(floats)
            Self.part(source, channels, count, into: elements, of: Float.self)
        }
    }

    /// Copies [pixels, channels] to [channels, pixels].
    private static func part<Element>(
        _ source: UnsafeMutableRawPointer, _ channels: Int, _ count: Int,
        into target: UnsafeMutableRawPointer, of type: Element.Type
    ) {
        let from = source.assumingMemoryBound(to: type)
        let to = target.assumingMemoryBound(to: type)
        let pixels = count / channels
        for channel in 0..<channels {
            for pixel in 0..<pixels {
                to[channel * pixels + pixel] = from[pixel * channels + channel]
            }
        }
    }
}
