import Pictures
import Testing

@Suite("Resizing")
struct ResizingTests {
    @Test("Resizes are Pillow's", arguments: Golden.resizes)
    func equalsPillow(resize: Golden.Resize) throws {
        let (height, width, channels) = (resize.height, resize.width, resize.channels)
        let pixels = Golden.drawn(height: height, width: width, channels: channels)
        let size = resize.size
        if resize.isWhole {
            let file = PNGEncoder.encode(
                width: width, height: height, channels: channels, pixels: pixels)
            let options = PictureOptions(size: size, channels: channels, filter: resize.filter)
            let picture = try Pictures.decode(file, options)
            #expect(picture.height == size.height && picture.width == size.width)
            #expect(Golden.sha256(picture.pixels) == resize.sha256)
        }
        let planes = Self.planar(pixels, channels: channels)
        var out = [UInt8](repeating: 0, count: channels * size.height * size.width)
        try out.withUnsafeMutableBufferPointer { out throws(PictureError) in
            try Self.resize(planes, resize, into: out)
        }
        #expect(Golden.sha256(Self.interleaved(out, channels: channels)) == resize.sha256)
    }

    private static func resize(
        _ planes: [UInt8], _ resize: Golden.Resize, into out: UnsafeMutableBufferPointer<UInt8>
    ) throws(PictureError) {
        let scratch = PictureScratch()
        let result = planes.withUnsafeBufferPointer { planes in
            Result { () throws(PictureError) in
                try Pictures.resize(
                    planar: planes, shape: (resize.channels, resize.height, resize.width),
                    box: resize.box, to: resize.size, filter: resize.filter, into: out,
                    scratch: scratch)
            }
        }
        try result.get()
    }

    private static func planar(_ pixels: [UInt8], channels: Int) -> [UInt8] {
        (0..<channels).flatMap { channel in
            stride(from: channel, to: pixels.count, by: channels).map { pixels[$0] }
        }
    }

    private static func interleaved(_ planes: [UInt8], channels: Int) -> [UInt8] {
        let count = planes.count / channels
        return (0..<count).flatMap { index in (0..<channels).map { planes[$0 * count + index] } }
    }

    /// Sides after torchvision's `Resize(side)`, and the first row and column of its
    /// `CenterCrop(side)`, by the formulas of torchvision/transforms/functional.py.
    @Test("The fit `crop` is a resize of the shorter side and the middle of the longer one")
    func cropFit() throws {
        let cases = [
            // height, width, side, new height, new width, top, left
            (30, 20, 10, 15, 10, 2, 0), (20, 30, 10, 10, 15, 0, 2), (20, 34, 10, 10, 17, 0, 4),
            (21, 37, 10, 10, 17, 0, 4), (9, 9, 4, 4, 4, 0, 0), (23, 7, 7, 23, 7, 8, 0),
        ]
        for (height, width, side, newHeight, newWidth, top, left) in cases {
            let pixels = Golden.drawn(height: height, width: width, channels: 3)
            let file = PNGEncoder.encode(width: width, height: height, channels: 3, pixels: pixels)
            let whole = try Pictures.decode(
                file, PictureOptions(size: .init(height: newHeight, width: newWidth)))
            let cropped = try Pictures.decode(
                file, PictureOptions(size: .init(height: side, width: side), fit: .crop))
            let middle = (0..<side).flatMap { row in
                let first = ((top + row) * newWidth + left) * 3
                return whole.pixels[first..<(first + side * 3)]
            }
            #expect(cropped.pixels == middle, "\(height) by \(width) to \(side)")
        }
    }

    @Test("Pixels decoded into memory of the caller are those of a picture, in planes")
    func decodeInto() throws {
        let scratch = PictureScratch()
        let options = PictureOptions(size: .init(height: 5, width: 9), channels: 3, fit: .crop)
        let file = Golden.file("jpeg-420")
        var out = [UInt8](repeating: 0, count: 5 * 9 * 3)
        let form = try out.withUnsafeMutableBufferPointer { out in
            try file.withUnsafeBytes {
                try Pictures.decode($0, options, into: out, scratch: scratch)
            }
        }
        #expect(form.height == 5 && form.width == 9 && form.channels == 3)
        #expect(out == (try Pictures.decode(file, options).planar()))
    }

    @Test("A box outside the picture is refused")
    func boxOutside() {
        let resize = Golden.Resize(
            height: 4, width: 4, channels: 1, box: .init(top: 2, left: 0, height: 3, width: 4),
            filter: .box, size: .init(height: 1, width: 1), sha256: "")
        var out: [UInt8] = [0]
        let error = #expect(throws: PictureError.self) {
            try out.withUnsafeMutableBufferPointer {
                try Self.resize([UInt8](repeating: 0, count: 16), resize, into: $0)
            }
        }
        #expect(error?.kind == .badOption)
    }

    @Test("Equal options have equal text, and each option changes it")
    func canonicalText() {
        let plain = PictureOptions()
        #expect(plain.canonicalText == PictureOptions().canonicalText)
        var changed = [PictureOptions](repeating: plain, count: 8)
        changed[0].size = .init(height: 2, width: 3)
        changed[1].channels = 1
        changed[2].filter = .box
        changed[3].fit = .crop
        changed[4].orientation = .apply
        changed[5].alpha = .white
        changed[6].sixteenBit = .scale
        changed[7].maximumPixelCount = 5
        #expect(Set((changed + [plain]).map(\.canonicalText)).count == 9)
    }
}
