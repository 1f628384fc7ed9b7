import Pictures
import Testing

@Suite("Decoding")
struct DecodingTests {
    @Test("Files become Pillow's pixels", arguments: Golden.files)
    func equalsPillow(file: Golden.File) throws {
        var options = PictureOptions(channels: 3, sixteenBit: .clip)
        #expect(Golden.sha256(try Pictures.decode(file.bytes, options).pixels) == file.rgb)
        options.channels = 1
        #expect(Golden.sha256(try Pictures.decode(file.bytes, options).pixels) == file.grey)
    }

    @Test("A scratch that held other pictures changes nothing")
    func sharedScratch() throws {
        let scratch = PictureScratch()
        let options = PictureOptions(channels: 3, sixteenBit: .clip)
        for file in Golden.files + Golden.files.reversed() {
            let picture = try Pictures.decode(file.bytes, options, scratch: scratch)
            #expect(Golden.sha256(picture.pixels) == file.rgb, "\(file)")
        }
    }

    @Test("A probe and a decoded picture tell the same facts", arguments: Golden.files)
    func probe(file: Golden.File) throws {
        let facts = try Pictures.probe(file.bytes)
        let decoded = try Pictures.decode(file.bytes, PictureOptions(sixteenBit: .scale)).facts
        #expect(facts == decoded)
        #expect(facts.width == (file.name == "png-16-bit" ? 9 : 19) && facts.height == 13)
        #expect(facts.orientation == (file.name.hasSuffix("turned") ? 6 : 1))
        #expect(facts.isCMYK == (file.name == "jpeg-cmyk"))
        #expect(file.name.hasPrefix(facts.format.rawValue))
    }

    @Test("Facts say what a file has")
    func facts() throws {
        let alpha = try Pictures.probe(Golden.file("png-grey-alpha"))
        #expect(alpha.channels == 2 && alpha.hasAlpha && alpha.bitDepth == 8)
        let palette = try Pictures.probe(Golden.file("png-palette-transparent"))
        #expect(palette.hasPalette && palette.hasAlpha && palette.bitDepth == 4)
        #expect(try Pictures.probe(Golden.file("png-bit")).bitDepth == 1)
        #expect(try Pictures.probe(Golden.file("jpeg-progressive")).isProgressive)
        #expect(try Pictures.probe(Golden.file("webp-alpha")).channels == 4)
    }

    @Test("Channels are those of the file unless they are given")
    func ownChannels() throws {
        #expect(try Pictures.decode(Golden.file("png-grey-alpha")).channels == 1)
        #expect(try Pictures.decode(Golden.file("png-palette")).channels == 3)
        #expect(try Pictures.decode(Golden.file("jpeg-cmyk")).channels == 3)
    }

    @Test("The orientation turns a picture only where the options say so")
    func orientation() throws {
        let plain = try Pictures.decode(Golden.file("png-rgb"))
        let file = Golden.file("png-turned")
        #expect(try Pictures.decode(file).pixels == plain.pixels)
        let turned = try Pictures.decode(file, PictureOptions(orientation: .apply))
        #expect(turned.width == plain.height && turned.height == plain.width)
        // Orientation 6: the first row of the file is the last column.
        for column in 0..<plain.width {
            for channel in 0..<3 {
                let index = (column * turned.width + turned.width - 1) * 3 + channel
                #expect(turned.pixels[index] == plain.pixels[column * 3 + channel])
            }
        }
    }

    @Test("Alpha is dropped, or the picture is laid on black or white")
    func alpha() throws {
        let file = HandmadePNG(
            width: 2, height: 1, colourType: 6, rows: [[200, 100, 50, 0, 200, 100, 50, 255]]
        ).bytes
        func pixels(_ alpha: PictureOptions.Alpha) throws -> [UInt8] {
            try Pictures.decode(file, PictureOptions(alpha: alpha)).pixels
        }
        #expect(try pixels(.drop) == [200, 100, 50, 200, 100, 50])
        #expect(try pixels(.black) == [0, 0, 0, 200, 100, 50])
        #expect(try pixels(.white) == [255, 255, 255, 200, 100, 50])
    }

    @Test("Grey of 16 bits is scaled or clipped")
    func sixteenBits() throws {
        let file = HandmadePNG(
            width: 3, height: 1, bitDepth: 16, rows: [[0x00, 0x7F, 0x01, 0x00, 0xFF, 0xFE]]
        ).bytes
        #expect(try Pictures.decode(file, PictureOptions(sixteenBit: .scale)).pixels == [0, 1, 255])
        #expect(
            try Pictures.decode(file, PictureOptions(sixteenBit: .clip)).pixels == [127, 255, 255])
    }

    @Test("Many threads decode at once")
    func threads() async throws {
        let size = PictureOptions.Size(height: 8, width: 8)
        let options = PictureOptions(size: size, channels: 3, sixteenBit: .clip)
        let expected = try Golden.files.map { try Pictures.decode($0.bytes, options).pixels }
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    let scratch = PictureScratch()
                    for _ in 0..<20 {
                        for (file, pixels) in zip(Golden.files, expected) {
                            let found = try Pictures.decode(file.bytes, options, scratch: scratch)
                            guard found.pixels == pixels else { return false }
                        }
                    }
                    return true
                }
            }
            for try await isEqual in group { #expect(isEqual) }
        }
    }
}
