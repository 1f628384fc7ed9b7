import RunFiles
import Testing

@Suite struct LineTextTests {
    @Test func whatIsQuotedDoesNotSteerTheTerminal() {
        #expect(LineText.printable("file: a\u{1B}[2Jb\nc\u{9B}d é") == "file: a?[2Jb?c?d é")
    }

    @Test func isNoLongerThanAnyoneReads() {
        let text = LineText.printable(String(repeating: "é", count: 1 << 20))
        #expect(text.count == LineText.maximumCount + 3)
        #expect(text.hasSuffix("é..."))
        #expect(LineText.printable(String(repeating: "x", count: 4000)).hasSuffix("x"))
    }
}
