import Checksums
import Pictures

/// Decodes picture files into records of one shape, and counts what a user should know of them.
///
/// Threading: one thread at a time.
public final class PictureReader {
    /// The size of the largest file that is read, in bytes.
    public static let maximumByteCount = 256 << 20

    private let options: PictureOptions
    /// The shape that pictures must have by themselves, and the file that it was taken from; nil where
    /// the options give a size.
    private let given: (size: PictureOptions.Size, file: String)?
    private let scratch = PictureScratch()
    private var remarks: [String: Int] = [:]

    /// Creates a reader.
    ///
    /// - Parameters:
    ///   - options: how pictures are decoded.
    ///   - shape: the shape [C, H, W] of the records.
    ///   - example: the file that the shape was taken from, if the options give no size.
    public init(_ options: PictureOptions, shape: [Int], example: String) {
        var options = options
        options.channels = shape[0]
        let size = PictureOptions.Size(height: shape[1], width: shape[2])
        given = options.size == nil ? (size, example) : nil
        options.size = size
        self.options = options
    }

    /// Decodes a picture.
    ///
    /// - Parameters:
    ///   - bytes: the contents of the file.
    ///   - file: the file's name, for errors.
    ///   - elements: receives the bytes [C, H, W].
    /// - Throws: `badRecord` with the reason and, where it is known, the place in the file.
    public func decode(
        _ bytes: UnsafeRawBufferPointer, file: String, into elements: UnsafeMutableRawPointer
    ) throws(DataError) {
        let count = options.channels! * options.size!.height * options.size!.width
        if let given { try requireSize(given.size, as: given.file, bytes, file) }
        let memory = UnsafeMutableBufferPointer(
            start: elements.assumingMemoryBound(to: UInt8.self), count: count)
        let form: PictureForm
        do throws(PictureError) {
            form = try Pictures.decode(bytes, options, into: memory, scratch: scratch)
        } catch {
            throw Self.failure(error, file: file)
        }
        note(form.facts)
    }

    /// Throws unless a picture has a size by itself.
    private func requireSize(
        _ size: PictureOptions.Size, as example: String, _ bytes: UnsafeRawBufferPointer,
        _ file: String
    ) throws(DataError) {
        let facts: Facts
        do throws(PictureError) { facts = try Pictures.probe(bytes) } catch {
            throw Self.failure(error, file: file)
        }
        let isTurned = options.orientation == .apply && facts.orientation >= 5
        let (height, width) = isTurned ? (facts.width, facts.height) : (facts.height, facts.width)
        guard height == size.height, width == size.width else {
            throw DataError(
                .badRecord, file: file, what: "size of the picture",
                expected: "\(size.height) x \(size.width), as \(example)",
                found: "\(height) x \(width)",
                advice: "set data.image.size, to which all pictures are brought")
        }
    }

    /// Returns the error for a picture that cannot be decoded.
    static func failure(_ error: PictureError, file: String) -> DataError {
        let place = error.offset.map { " at byte \($0)" } ?? ""
        let isOption = error.kind == .badOption
        return DataError(
            isOption ? .badSetting : .badRecord, file: file,
            what: isOption ? "data.image" : "picture\(place)", expected: error.expected,
            found: error.found, advice: error.advice)
    }

    private func note(_ facts: Facts) {
        func add(_ text: String) { remarks[text, default: 0] += 1 }
        if facts.orientation != 1, options.orientation == .ignore {
            add(
                "pictures have an EXIF orientation that is ignored; data.image.orientation: apply "
                    + "turns them")
        }
        if facts.hasAlpha, options.alpha == .drop {
            add(
                "pictures have transparent parts whose hidden colours show; data.image.alpha: white "
                    + "lays them on white")
        }
        if facts.strayByteCount > 0 { add("JPEG files have bytes that belong to nothing") }
    }

    /// Returns what was noted, with the number of pictures, and forgets it.
    public func takeRemarks() -> [String: Int] {
        defer { remarks = [:] }
        return remarks
    }
}

extension ImageOptions {
    /// The number of channels of the records.
    var channelCount: Int { picture.channels ?? 3 }

    /// Returns the shape [C, H, W] of the records: the size of the options, or that of an example.
    func shape(example bytes: () throws(DataError) -> (bytes: [UInt8], name: String))
        throws(DataError) -> [Int]
    {
        if let size = picture.size { return [channelCount, size.height, size.width] }
        let (bytes, name) = try bytes()
        let facts: Facts
        do throws(PictureError) { facts = try Pictures.probe(bytes) } catch {
            throw PictureReader.failure(error, file: name)
        }
        let turned = picture.orientation == .apply && facts.orientation >= 5
        return turned
            ? [channelCount, facts.width, facts.height] : [channelCount, facts.height, facts.width]
    }
}
