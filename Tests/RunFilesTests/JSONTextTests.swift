import FoundationEssentials
import RunFiles
import Testing

@Suite struct JSONTextTests {
    @Test func everyTextReadsBack() throws {
        var texts = ["", "plain", "a\"b\\c/d", "line\nfeed\r\ttab", "\u{0}\u{1}\u{1F}\u{7F}"]
        texts += ["ä€😀", "\u{2028}\u{2029}\u{FEFF}", "\\u0041", "e\u{301}"]
        texts.append(String(String.UnicodeScalarView((0..<0x100).compactMap(Unicode.Scalar.init))))
        for text in texts {
            let json = JSONText.string(text)
            let read = try JSONDecoder().decode([String].self, from: Data("[\(json)]".utf8))
            #expect(Array(read[0].utf8) == Array(text.utf8), "\(json)")
            // The text stays within one line of a log.
            #expect(!json.contains { $0 == "\n" || $0 == "\r" || $0 == "\r\n" })
        }
    }

    @Test func escapesAreTheShortOnes() {
        #expect(JSONText.string("a\"\\\n\t\r\u{1}") == #""a\"\\\n\t\r\u0001""#)
        #expect(JSONText.string("\u{7F}\u{9B}2J\u{A0}") == "\"\\u007f\\u009b2J\u{A0}\"")
    }

    @Test func everyFiniteNumberReadsBack() throws {
        let numbers = [
            0, -0.0, 1, -1.5, 0.1, 1e300, -1e-300, .leastNonzeroMagnitude, .greatestFiniteMagnitude, 1e16,
            123_456_789,
        ]
        for number in numbers {
            let json = "[\(JSONText.number(number))]"
            let read = try JSONDecoder().decode([Double].self, from: Data(json.utf8))
            #expect(read[0] == number, "\(json)")
        }
    }

    @Test(arguments: [Double.nan, .infinity, -.infinity])
    func otherNumbersAreNull(number: Double) { #expect(JSONText.number(number) == "null") }
}
