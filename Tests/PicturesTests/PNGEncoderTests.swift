import Pictures
import Testing

@Suite("PNG encoder")
struct PNGEncoderTests {
    @Test("A written picture is read back", arguments: [1, 3])
    func roundTrip(channels: Int) throws {
        let pixels = (0..<(7 * 5 * channels)).map { UInt8(truncatingIfNeeded: $0 * 37) }
        let file = PNGEncoder.encode(width: 7, height: 5, channels: channels, pixels: pixels)
        let picture = try Pictures.decode(file)
        #expect(picture.width == 7 && picture.height == 5 && picture.channels == channels)
        #expect(picture.pixels == pixels)
        #expect(PNGEncoder.encode(width: 7, height: 5, channels: channels, pixels: pixels) == file)
    }
}
