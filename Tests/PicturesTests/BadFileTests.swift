import Pictures
import Testing

@Suite("Files that cannot be used")
struct BadFileTests {
    private func failure(
        _ bytes: [UInt8], _ options: PictureOptions = PictureOptions()
    ) -> PictureError? {
        do throws(PictureError) {
            _ = try Pictures.decode(bytes, options)
            return nil
        } catch {
            let text = error.description
            #expect(!text.contains { $0.isNewline })
            #expect(!error.expected.isEmpty && !error.found.isEmpty)
            return error
        }
    }

    @Test("A file without bytes")
    func empty() {
        #expect(failure([])?.kind == .empty)
        #expect(throws: PictureError.self) { try Pictures.probe([]) }
    }

    @Test("Each file, cut anywhere, is an error and never half a picture", arguments: Golden.files)
    func cut(file: Golden.File) {
        let options = PictureOptions(sixteenBit: .clip)
        for count in 1..<file.bytes.count {
            let error = failure(Array(file.bytes.prefix(count)), options)
            #expect(
                error?.kind == .truncated || error?.kind == .damaged
                    || (count < 3 && error?.kind == .unknownFormat),
                "\(count) bytes: \(error?.description ?? "a picture")")
        }
    }

    @Test("Half a JPEG is cut, at its end")
    func halfJPEG() {
        let file = Golden.file("jpeg-420")
        let half = Array(file.prefix(file.count - 60))
        let error = failure(half)
        #expect(error?.kind == .truncated)
        #expect(error?.offset == half.count)
    }

    @Test("Junk behind a picture is harmless", arguments: Golden.files)
    func trailingJunk(file: Golden.File) throws {
        let options = PictureOptions(channels: 3, sixteenBit: .clip)
        let picture = try Pictures.decode(file.bytes + [0, 1, 2, 0xFF, 0xD8, 0xFF], options)
        #expect(Golden.sha256(picture.pixels) == file.rgb)
    }

    @Test("A chunk of a PNG with another checksum")
    func badChecksum() {
        var file = Golden.file("png-rgb")
        // The last byte of the checksum of IDAT, before the 12 bytes of IEND.
        file[file.count - 13] ^= 1
        let error = failure(file)
        #expect(error?.kind == .damaged)
        #expect(error?.found.contains("CRC") == true, "\(error?.found ?? "a picture")")
        #expect(error?.offset != nil)
    }

    @Test("Other formats are refused by name")
    func otherFormats() {
        let heic: [UInt8] = [0, 0, 0, 24] + Array("ftypheic".utf8) + [0, 0, 0, 0]
        for (bytes, name) in [
            (Array("GIF89a".utf8) + [1, 0, 1, 0], "a GIF"), (heic, "a HEIC"),
            (Array("BM".utf8) + [UInt8](repeating: 0, count: 60), "a BMP"),
            ([0x49, 0x49, 0x2A, 0, 8, 0, 0, 0], "a TIFF"),
        ] {
            let error = failure(bytes)
            #expect(error?.kind == .refusedFormat)
            #expect(error?.found == name)
            #expect(throws: PictureError.self) { try Pictures.probe(bytes) }
        }
        #expect(failure(Array("hello, world".utf8))?.kind == .unknownFormat)
    }

    @Test("An animated WebP is refused by name")
    func animation() {
        // A header of the extended format whose flags say animation, and no picture.
        let header: [UInt8] = [0x02, 0, 0, 0, 7, 0, 0, 7, 0, 0]
        let body = Array("WEBPVP8X".utf8) + [10, 0, 0, 0] + header
        let bytes = Array("RIFF".utf8) + [UInt8(body.count), 0, 0, 0] + body
        let error = failure(bytes)
        #expect(error?.kind == .refusedFormat)
        #expect(error?.found == "an animated WebP")
    }

    @Test("Headers that promise too many pixels")
    func bombs() {
        let png = HandmadePNG(width: 65_535, height: 65_535, rows: [[0]]).bytes
        let error = failure(png)
        #expect(error?.kind == .tooLarge)
        #expect(error?.found == "65535 by 65535 pixels")
        // Fewer pixels than the limit, but more than so short a file can hold.
        #expect(failure(HandmadePNG(width: 13_000, height: 13_000).bytes)?.kind == .truncated)

        var jpeg = Golden.file("jpeg-420")
        let frame = jpeg.indices.first { jpeg[$0] == 0xFF && jpeg[$0 + 1] == 0xC0 }!
        for index in (frame + 5)..<(frame + 9) { jpeg[index] = 0xFF }
        #expect([.tooLarge, .damaged].contains(failure(jpeg)?.kind))
        for (index, byte) in zip((frame + 5)..<(frame + 9), [0x32, 0xC8, 0x32, 0xC8] as [UInt8]) {
            jpeg[index] = byte
        }
        #expect(failure(jpeg)?.kind == .truncated)
        let small = PictureOptions(maximumPixelCount: 100)
        for file in Golden.files where file.name != "png-16-bit" {
            #expect(failure(file.bytes, small)?.kind == .tooLarge, "\(file)")
        }
    }

    /// Scripts/engines/pictures.sh makes a JPEG of 631 scans, each of which refines the picture.
    @Test("A progressive JPEG whose first scan comes a thousand times")
    func progressiveBomb() throws {
        let file = Golden.file("jpeg-progressive")
        func places(of marker: UInt8) -> [Int] {
            file.indices.dropLast().filter { file[$0] == 0xFF && file[$0 + 1] == marker }
        }
        let first = try #require(places(of: 0xDA).first)
        let next = try #require((places(of: 0xDA) + places(of: 0xC4)).filter { $0 > first }.min())
        let scan = file[first..<next]
        let bytes = file[..<first] + (0..<1000).flatMap { _ in scan } + file[first...]
        #expect(failure(Array(bytes))?.kind == .damaged)
    }

    @Test("A PNG named .jpg is a PNG, for names play no part")
    func misnamed() throws {
        #expect(try Pictures.decode(Golden.file("png-rgb")).facts.format == .png)
    }

    @Test("Grey of 16 bits without an option")
    func sixteenBits() {
        let error = failure(Golden.file("png-16-bit"))
        #expect(error?.kind == .sixteenBit)
        #expect(error?.advice.contains("sixteen-bit") == true)
        #expect(throws: Never.self) { try Pictures.probe(Golden.file("png-16-bit")) }
    }

    @Test("The least picture")
    func onePixel() throws {
        let file = HandmadePNG(width: 1, height: 1, rows: [[77]]).bytes
        let options = PictureOptions(size: .init(height: 3, width: 2), channels: 3, fit: .crop)
        #expect(try Pictures.decode(file).pixels == [77])
        #expect(try Pictures.decode(file, options).pixels == [UInt8](repeating: 77, count: 18))
    }

    @Test("Options that do not fit")
    func badOptions() {
        let file = Golden.file("png-rgb")
        for options in [
            PictureOptions(size: .init(height: 0, width: 4)),
            PictureOptions(size: .init(height: 70_000, width: 4)), PictureOptions(channels: 2),
            PictureOptions(maximumPixelCount: 0),
        ] {
            #expect(failure(file, options)?.kind == .badOption)
        }
    }
}
