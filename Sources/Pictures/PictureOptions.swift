import CPictures

/// A resampling filter. Each gives Pillow's result of this name.
public enum PictureFilter: String, Sendable, Hashable, CaseIterable {
    case nearest
    case box
    case bilinear
    case bicubic

    var code: Int32 {
        switch self {
        case .nearest: Int32(CONVOY_PICTURE_NEAREST.rawValue)
        case .box: Int32(CONVOY_PICTURE_BOX.rawValue)
        case .bilinear: Int32(CONVOY_PICTURE_BILINEAR.rawValue)
        case .bicubic: Int32(CONVOY_PICTURE_BICUBIC.rawValue)
        }
    }
}

/// How pictures become pixels of one form.
///
/// A picture is converted to grey or RGB, turned where the options say so, and then resized.
public struct PictureOptions: Sendable, Hashable {
    /// How a picture is brought to a size.
    public enum Fit: String, Sendable, Hashable, CaseIterable {
        /// The whole picture is resized to the size, whatever its shape.
        case stretch
        /// The shorter side is resized to the size, and the middle of the longer one is kept. For a
        /// square this is torchvision's `Resize(side)` and `CenterCrop(side)`; for other sizes the
        /// picture is made as small as still covers the size.
        case crop
    }

    /// What becomes of a picture whose EXIF says that it lies on its side or its head.
    public enum Orientation: String, Sendable, Hashable, CaseIterable {
        /// The picture stays as it is stored, as Pillow and torchvision have it.
        case ignore
        /// The picture is turned as EXIF says, as Pillow's `ImageOps.exif_transpose` does.
        case apply
    }

    /// What becomes of transparent pixels.
    public enum Alpha: String, Sendable, Hashable, CaseIterable {
        /// Alpha is left out, as Pillow's `convert("RGB")` does; hidden colours show.
        case drop
        /// The picture is laid on black.
        case black
        /// The picture is laid on white.
        case white
    }

    /// What becomes of grey PNGs of 16 bits. All other pictures of 16 bits keep the upper eight of
    /// each number, as Pillow has it.
    public enum SixteenBit: String, Sendable, Hashable, CaseIterable {
        /// The file is an error.
        case refuse
        /// The upper eight bits are kept.
        case scale
        /// Values above 255 become 255, as Pillow's `convert` does.
        case clip
    }

    /// Sides in pixels.
    public struct Size: Sendable, Hashable {
        /// From 1 to 65,535.
        public var height: Int
        /// From 1 to 65,535.
        public var width: Int

        /// Makes a size from its sides.
        public init(height: Int, width: Int) {
            self.height = height
            self.width = width
        }
    }

    /// Pixels that a file may have by default: the number above which Pillow takes a file for an
    /// attack (twice its `MAX_IMAGE_PIXELS`).
    public static let defaultMaximumPixelCount = 178_956_970

    /// The size of the result; nil keeps each picture's own.
    public var size: Size?
    /// 1 (grey) or 3 (RGB); nil is 1 for a grey file and 3 for any other.
    public var channels: Int?
    /// The filter of resizing.
    public var filter: PictureFilter
    /// How a picture is brought to the size.
    public var fit: Fit
    /// Whether a picture is turned as its EXIF says.
    public var orientation: Orientation
    /// What becomes of transparent pixels.
    public var alpha: Alpha
    /// What becomes of grey PNGs of 16 bits.
    public var sixteenBit: SixteenBit
    /// Files with more pixels are refused before they are decoded. Decoding takes at most 30 bytes
    /// of memory for each pixel that is allowed, and a progressive JPEG at least 64 MiB.
    public var maximumPixelCount: Int

    /// Makes options. By default pictures are what Pillow's `convert` makes of them.
    public init(
        size: Size? = nil, channels: Int? = nil, filter: PictureFilter = .bilinear,
        fit: Fit = .stretch, orientation: Orientation = .ignore, alpha: Alpha = .drop,
        sixteenBit: SixteenBit = .refuse,
        maximumPixelCount: Int = PictureOptions.defaultMaximumPixelCount
    ) {
        self.size = size
        self.channels = channels
        self.filter = filter
        self.fit = fit
        self.orientation = orientation
        self.alpha = alpha
        self.sixteenBit = sixteenBit
        self.maximumPixelCount = maximumPixelCount
    }

    /// All options that decide pixels, as one line. Equal pixels of all files follow from equal
    /// text, except that `maximumPixelCount` decides which files are refused.
    public var canonicalText: String {
        let size = size.map { "\($0.height)x\($0.width)" } ?? "own"
        let channels = channels.map { "\($0)" } ?? "own"
        return "size=\(size) channels=\(channels) filter=\(filter.rawValue) fit=\(fit.rawValue) "
            + "orientation=\(orientation.rawValue) alpha=\(alpha.rawValue) "
            + "sixteen-bit=\(sixteenBit.rawValue) maximum-pixels=\(maximumPixelCount)"
    }

    var code: convoy_picture_options {
        var code = convoy_picture_options()
        // Numbers that do not fit become -1, which the C code refuses.
        code.height = size.map { Self.positive($0.height) } ?? 0
        code.width = size.map { Self.positive($0.width) } ?? 0
        code.channels = channels.map(Self.positive) ?? 0
        code.filter = filter.code
        code.fit =
            switch fit {
            case .stretch: Int32(CONVOY_PICTURE_STRETCH.rawValue)
            case .crop: Int32(CONVOY_PICTURE_CROP.rawValue)
            }
        code.alpha =
            switch alpha {
            case .drop: Int32(CONVOY_PICTURE_ALPHA_DROP.rawValue)
            case .black: Int32(CONVOY_PICTURE_ALPHA_BLACK.rawValue)
            case .white: Int32(CONVOY_PICTURE_ALPHA_WHITE.rawValue)
            }
        code.sixteen_bit =
            switch sixteenBit {
            case .refuse: Int32(CONVOY_PICTURE_SIXTEEN_REFUSE.rawValue)
            case .scale: Int32(CONVOY_PICTURE_SIXTEEN_SCALE.rawValue)
            case .clip: Int32(CONVOY_PICTURE_SIXTEEN_CLIP.rawValue)
            }
        code.applies_orientation = orientation == .apply ? 1 : 0
        code.maximum_pixel_count = Int64(maximumPixelCount)
        return code
    }

    private static func positive(_ number: Int) -> Int32 {
        number > 0 ? Int32(exactly: number) ?? -1 : -1
    }
}
