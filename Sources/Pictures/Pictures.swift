import CPictures

/// Picture files (JPEG, PNG, WebP) to pixels.
///
/// Determinism: results equal Pillow's to the level, on every processor.
///
/// Threads: any number of threads may decode at once, each with a scratch of its own.
public enum Pictures {
    /// The versions of the libraries and of the code that decide pixels.
    ///
    /// It belongs into the key of each cache of decoded pictures.
    public static let decoderVersion: String =
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { text in
            convoy_picture_versions(text.baseAddress, text.count)
            return text.baseAddress.map { String(cString: $0) } ?? ""
        }

    /// Reads what a file says of itself and decodes no pixels.
    public static func probe(_ bytes: UnsafeRawBufferPointer) throws(PictureError) -> Facts {
        var facts = convoy_picture_facts()
        var failure = convoy_picture_failure()
        let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        guard convoy_picture_probe(start, bytes.count, &facts, &failure) == 0 else {
            throw PictureError(failure)
        }
        return Facts(facts)
    }

    /// Reads what a file says of itself and decodes no pixels.
    public static func probe(_ bytes: [UInt8]) throws(PictureError) -> Facts {
        try withBytes(bytes) { (bytes) throws(PictureError) in try probe(bytes) }
    }

    /// Decodes a file, and converts, turns and resizes the picture as the options say.
    public static func decode(
        _ bytes: UnsafeRawBufferPointer, _ options: PictureOptions = PictureOptions(),
        scratch: PictureScratch = PictureScratch()
    ) throws(PictureError) -> Picture {
        let form = try open(bytes, options, scratch)
        var failure = convoy_picture_failure()
        var isWhole = false
        let pixels = [UInt8](unsafeUninitializedCapacity: form.byteCount) { pixels, count in
            var code = options.code
            isWhole =
                convoy_picture_finish(
                    scratch.pointer, &code, 0, pixels.baseAddress, &failure) == 0
            count = isWhole ? form.byteCount : 0
        }
        guard isWhole else { throw PictureError(failure) }
        return Picture(
            width: form.width, height: form.height, channels: form.channels, pixels: pixels,
            facts: form.facts)
    }

    /// Decodes a file, and converts, turns and resizes the picture as the options say.
    public static func decode(
        _ bytes: [UInt8], _ options: PictureOptions = PictureOptions(),
        scratch: PictureScratch = PictureScratch()
    ) throws(PictureError) -> Picture {
        try withBytes(bytes) { (bytes) throws(PictureError) in
            try decode(bytes, options, scratch: scratch)
        }
    }

    /// Decodes a file into memory of the caller, in shape [channels, height, width].
    ///
    /// - Parameter destination: memory for exactly the picture that the options make. The options
    ///   must give a size and the number of channels.
    @discardableResult
    public static func decode(
        _ bytes: UnsafeRawBufferPointer, _ options: PictureOptions,
        into destination: UnsafeMutableBufferPointer<UInt8>, scratch: PictureScratch
    ) throws(PictureError) -> PictureForm {
        guard let size = options.size, let channels = options.channels else {
            preconditionFailure("expected options with a size and a number of channels")
        }
        precondition(
            destination.count == size.height * size.width * channels,
            "expected memory for \(size.height) x \(size.width) x \(channels) bytes, "
                + "found \(destination.count)")
        let form = try open(bytes, options, scratch)
        var code = options.code
        var failure = convoy_picture_failure()
        guard
            convoy_picture_finish(scratch.pointer, &code, 1, destination.baseAddress, &failure) == 0
        else { throw PictureError(failure) }
        return form
    }

    /// A box of whole pixels within a picture.
    public struct Box: Sendable, Hashable {
        /// Rows above the box.
        public var top: Int
        /// Columns left of the box.
        public var left: Int
        /// Rows of the box, at least 1.
        public var height: Int
        /// Columns of the box, at least 1.
        public var width: Int

        /// Makes a box from its first row and column and its sides.
        public init(top: Int, left: Int, height: Int, width: Int) {
            self.top = top
            self.left = left
            self.height = height
            self.width = width
        }
    }

    /// Crops a planar picture to a box and resizes the box: Pillow's `crop`, then its `resize`.
    ///
    /// - Parameters:
    ///   - source: bytes in shape [channels, height, width].
    ///   - shape: the shape of the source.
    ///   - box: a box within the picture.
    ///   - size: the size of the result.
    ///   - destination: memory for `channels * size.height * size.width` bytes.
    public static func resize(
        planar source: UnsafeBufferPointer<UInt8>, shape: (channels: Int, height: Int, width: Int),
        box: Box, to size: PictureOptions.Size, filter: PictureFilter,
        into destination: UnsafeMutableBufferPointer<UInt8>, scratch: PictureScratch
    ) throws(PictureError) {
        precondition(
            source.count == shape.channels * shape.height * shape.width,
            "expected \(shape) bytes, found \(source.count)")
        precondition(
            destination.count == shape.channels * size.height * size.width,
            "expected memory for \(shape.channels) x \(size) bytes, found \(destination.count)")
        var failure = convoy_picture_failure()
        guard
            convoy_picture_resize(
                scratch.pointer, source.baseAddress, number(shape.channels), number(shape.height),
                number(shape.width), number(box.top), number(box.left), number(box.height),
                number(box.width), number(size.height), number(size.width), filter.code,
                destination.baseAddress, &failure) == 0
        else { throw PictureError(failure) }
    }

    /// Numbers that do not fit become -1, which the C code refuses.
    private static func number(_ number: Int) -> Int32 { Int32(exactly: number) ?? -1 }

    private static func open(
        _ bytes: UnsafeRawBufferPointer, _ options: PictureOptions, _ scratch: PictureScratch
    ) throws(PictureError) -> PictureForm {
        var code = options.code
        var opened = convoy_picture_opened()
        var failure = convoy_picture_failure()
        let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        guard
            convoy_picture_open(
                scratch.pointer, start, bytes.count, &code, &opened, &failure) == 0
        else { throw PictureError(failure) }
        return PictureForm(
            width: Int(opened.width), height: Int(opened.height), channels: Int(opened.channels),
            facts: Facts(opened.facts))
    }

    private static func withBytes<Result>(
        _ bytes: [UInt8], _ body: (UnsafeRawBufferPointer) throws(PictureError) -> Result
    ) throws(PictureError) -> Result {
        let result = bytes.withUnsafeBytes { bytes in
            Swift.Result { () throws(PictureError) in try body(bytes) }
        }
        return try result.get()
    }
}
