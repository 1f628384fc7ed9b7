import ReaderHarness
import Testing

/// Inputs that are too large, or too regular, for a fuzzer to find. Readers must refuse them
/// quickly.
@Suite struct HandMadeTests {
    struct Input: Sendable, CustomTestStringConvertible {
        var reader: String
        var name: String
        var bytes: [UInt8]

        var testDescription: String { "\(reader): \(name)" }

        init(_ reader: String, _ name: String, _ text: String) {
            self.init(reader, name, Array(text.utf8))
        }

        init(_ reader: String, _ name: String, _ bytes: [UInt8]) {
            self.reader = reader
            self.name = name
            self.bytes = bytes
        }
    }

    private static func times(_ count: Int, _ text: String) -> String {
        String(repeating: text, count: count)
    }

    private static func numbered(_ count: Int, _ line: (Int) -> String) -> String {
        (0..<count).map(line).joined()
    }

    /// Each level repeats the level before it ten times.
    private static let bomb =
        "a0: &a0 [x, x]\n"
        + numbered(40) { level in
            "a\(level + 1): &a\(level + 1) [" + times(10, "*a\(level), ") + "]\n"
        }

    private static let yaml: [(String, String)] = [
        ("lists in lists", "a: " + times(500_000, "[")),
        ("mappings in mappings", times(200_000, "{")),
        ("lists in lists, in block style", times(500_000, "- ")),
        ("keys in keys", times(500_000, "? ")), ("colons", "a: {" + times(300_000, ": ")),
        ("what would expand, as a value", bomb),
        ("what would expand, as a key", bomb + "? *a40\n: 1\n"),
        ("what would expand, as a key without a question mark", bomb + "*a40 : 1\n"),
        ("anchors", numbered(50_000) { "k\($0): &a\($0) 1\n" }),
        ("keys", numbered(80_000) { "k\($0): 1\n" }),
        ("keys in flow style", "{" + numbered(80_000) { "k\($0): 1," } + "}"),
        ("one key again and again", "{" + times(400_000, "a,")),
        ("documents", times(200_000, "---\n")), ("a NUL byte", "a: \u{0}"),
        ("a tag on a key", "!!str a: 1\n"), ("a merge", "<<: {a: 1}\n<<: {b: 2}\n"),
    ]

    private static let json: [(String, String)] = [
        ("lists in lists", times(500_000, "[")), ("objects in objects", times(100_000, "{\"a\":")),
        ("a body of lists in lists", #"{"version":1,"kind":"hello","body":"# + times(400_000, "[")),
        ("a number of many digits", #"{"version":"# + times(500_000, "9") + "}"),
        ("an exponent of many digits", #"{"version":1e"# + times(500_000, "9") + "}"),
        ("fractions", #"{"version":1.5,"kind":"hello","body":{}}"#),
        ("half of a surrogate pair", #"{"version":1,"kind":"\ud800","body":{}}"#),
        ("one key twice", #"{"version":1,"version":2,"kind":"alive","body":{}}"#),
        ("spaces", times(900_000, " ")),
    ]

    private static let hosts: [(String, String)] = [
        (
            "more hosts than a cluster has",
            "h coordinator,worker\n" + numbered(70_000) { "h\($0) worker\n" }
        ),
        ("one line without an end", "h coordinator,worker " + times(200_000, "workers=2 ")),
        ("lone carriage returns", "h coordinator,worker\rb worker\r"),
        ("bytes that are no text", "\u{FFFD}"),
    ]

    /// Returns a header after its length, or after a false length.
    private static func safetensors(_ header: String, length: UInt64? = nil) -> [UInt8] {
        let text = Array(header.utf8)
        let length = length ?? UInt64(text.count)
        return (0..<8).map { UInt8(truncatingIfNeeded: length >> ($0 * 8)) } + text
    }

    private static func tensor(_ shape: String, _ offsets: String) -> String {
        #"{"a":{"dtype":"F64","shape":[\#(shape)],"data_offsets":[\#(offsets)]}}"#
    }

    private static let tensors: [(String, [UInt8])] = [
        ("a header longer than any file", safetensors("{}", length: .max)),
        ("a header of 99 MB that is not there", safetensors("{}", length: 99_000_000)),
        ("a size beyond 64 bits", safetensors(tensor("9223372036854775807,3", "0,0"))),
        ("a number beyond 64 bits", safetensors(tensor("99999999999999999999", "0,0"))),
        ("a negative dimension", safetensors(tensor("-1", "0,0"))),
        ("an end before the beginning", safetensors(tensor("1", "8,0"))),
        ("a shape of a thousand dimensions", safetensors(tensor(times(999, "1,") + "1", "0,8"))),
        ("objects in objects", safetensors(times(100_000, #"{"a":"#))),
        ("a name that is not text", safetensors("{\"") + [0xFF, 0xFE]),
    ]

    static let inputs: [Input] =
        ["yaml", "run-file", "model-file"].flatMap { reader in
            yaml.map { Input(reader, $0, $1) }
        }
        + ["control", "coordinator", "hello", "status", "manifest", "catalog", "summary"].flatMap {
            reader in
            json.map { Input(reader, $0, $1) }
        } + hosts.map { Input("cluster-file", $0, $1) }
        + tensors.map { Input("safetensors", $0, $1) }

    @Test(arguments: inputs) func isRefusedAtOnce(_ input: Input) throws {
        let reader = try #require(Reader.all.first { $0.name == input.reader })
        var outcome: Reader.Outcome?
        let time = try ContinuousClock().measure { outcome = try reader.read(input.bytes) }
        #expect(outcome == .refused)
        #expect(time < .seconds(20))
    }

    /// Sixty megabytes, in as many gzip members as a file may have, are read piece by piece.
    @Test func readsWhatExpands() throws {
        let reader = try #require(Reader.all.first { $0.name == "gzip" })
        let seed = try #require(reader.seeds.dropFirst().first)
        let bomb = Array(repeatElement(seed, count: 20_000).joined())
        #expect(try reader.read(bomb) == .taken)
    }
}
