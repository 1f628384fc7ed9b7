import FoundationEssentials
import StrictYAML
import Testing

@Suite struct StrictYAMLTests {
    private func parse(_ text: String) throws -> StrictMapping {
        try StrictDocument.parse(text, fileName: "run.yaml")
    }

    private enum Fruit: String, CaseIterable { case apple, pear }

    @Test func readsEveryKindOfValue() throws {
        let root = try parse(
            """
            # a comment
            name: cnn
            quoted: "12"
            count: -3
            seed: 18446744073709551615
            rate: 1e-3
            on: true
            fruit: pear
            list: [1, two, [3]]
            nested: {inner: {deep: 7}}
            empty: {}
            """)
        #expect(try root.string("name") == "cnn")
        #expect(try root.string("quoted") == "12")
        #expect(try root.integer("count", in: -5...5) == -3)
        #expect(try root.unsignedInteger("seed") == .max)
        #expect(try root.double("rate") == 0.001)
        #expect(try root.boolean("on"))
        #expect(try root.oneOf("fruit", ["apple", "pear"]) == "pear")
        #expect(try root.oneOf("fruit", Fruit.self) == .pear)
        let list = try root.list("list")
        #expect(try list[0].integer(in: 0...9) == 1)
        #expect(try list[1].string() == "two")
        #expect(list[2].isList && list[2].path == "list[2]" && list[2].line == 9)
        let inner = try root.mapping("nested").mapping("inner")
        #expect(try inner.integer("deep") == 7)
        #expect(inner.path == "nested.inner")
        #expect(root.keys.count == 10)
        _ = try root.mapping("empty")
        try root.finish()
    }

    /// Editors on other systems write a byte order mark, and CR LF at the ends of lines.
    @Test func readsWhatOtherEditorsWrite() throws {
        let text = "\u{FEFF}# comment\r\nname: cnn\r\nnested:\r\n  deep: 7\r\nlist:\r\n  - one\r\n"
        let root = try parse(text)
        #expect(root.keys.sorted() == ["list", "name", "nested"])
        #expect(try root.string("name") == "cnn")
        #expect(try root.mapping("nested").integer("deep") == 7)
        #expect(try root.list("list")[0].string() == "one")
        #expect(try parse("\u{FEFF}").keys.isEmpty)
    }

    @Test func absentKeysTakeTheirDefaults() throws {
        let root = try parse("training:\n")
        let training = try root.mapping("training")
        #expect(try training.integer("epochs", in: 1...9, default: 4) == 4)
        #expect(try training.double("rate", default: 0.5) == 0.5)
        #expect(try training.string("name", default: "x") == "x")
        #expect(try training.boolean("on", default: true))
        #expect(try training.oneOf("fruit", default: Fruit.apple) == .apple)
        #expect(try training.list("layers").isEmpty)
        #expect(training.value("other") == nil)
        #expect(try parse("").mapping("training").keys.isEmpty)
        #expect(try parse("# nothing\n").keys.isEmpty)
    }

    static let wrongValues: [(String, String)] = [
        ("abc", "expected a whole number from 1 to 64, found \"abc\""),
        ("0", "expected a whole number from 1 to 64, found \"0\""),
        ("65", "expected a whole number from 1 to 64, found \"65\""),
        ("1.5", "expected a whole number from 1 to 64, found \"1.5\""),
        ("0x10", "expected a whole number from 1 to 64, found \"0x10\""),
        ("1_0", "expected a whole number from 1 to 64, found \"1_0\""),
        ("\"8\"", "expected a whole number from 1 to 64, found \"8\""),
        (
            "99999999999999999999",
            "expected a whole number from 1 to 64, found \"99999999999999999999\""
        ),
        ("[1]", "expected a whole number from 1 to 64, found a list of 1"),
        ("{a: 1}", "expected a whole number from 1 to 64, found keys and values"),
        ("", "expected a whole number from 1 to 64, found nothing"),
        ("~", "expected a whole number from 1 to 64, found nothing"),
    ]

    @Test(arguments: wrongValues)
    func wrongNumbersNameThePlace(_ value: String, _ problem: String) throws {
        let root = try parse("data: {}\ntraining:\n  epochs: 1\n  batch-size: \(value)\n")
        let training = try root.mapping("training")
        let error = #expect(throws: SettingsError.self) {
            try training.integer("batch-size", in: 1...64)
        }
        #expect(error?.description == "run.yaml:4: training.batch-size: \(problem)")
    }

    @Test func otherWrongValuesNameThePlace() throws {
        let root = try parse("a: yes\nb: nan\nc: [x]\nd: 0x1p3\ne: text\nf: null\n")
        func problem(_ body: () throws -> Void) -> String {
            do {
                try body()
                return "none"
            } catch {
                return "\(error)"
            }
        }
        #expect(
            problem { _ = try root.boolean("a") }
                == "run.yaml:1: a: expected true or false, found \"yes\"")
        #expect(
            problem { _ = try root.double("b") }
                == "run.yaml:2: b: expected a number, found \"nan\"")
        #expect(
            problem { _ = try root.string("c") }
                == "run.yaml:3: c: expected a text, found a list of 1")
        #expect(
            problem { _ = try root.double("d") }
                == "run.yaml:4: d: expected a number, found \"0x1p3\"")
        #expect(
            problem { _ = try root.list("e") } == "run.yaml:5: e: expected a list, found \"text\"")
        #expect(
            problem { _ = try root.mapping("e") }
                == "run.yaml:5: e: expected keys and values, found \"text\"")
        #expect(
            problem { _ = try root.string("f") } == "run.yaml:6: f: expected a text, found nothing")
        #expect(
            problem { _ = try root.oneOf("e", Fruit.self) }
                == "run.yaml:5: e: expected one of apple, pear, found \"text\"")
        #expect(
            problem { _ = try root.string("g") } == "run.yaml:1: g: is required here, but missing")
    }

    @Test(arguments: [
        ("batchsize", "batch-size"), ("batch_size", "batch-size"), ("Epochs", "epochs"),
        ("eopchs", "epochs"), ("epoch", "epochs"),
    ])
    func unknownKeysNameTheNearest(_ key: String, _ meant: String) throws {
        let root = try parse("\n\(key): 1\n")
        _ = try root.integer("batch-size", default: 1)
        _ = try root.integer("epochs", default: 1)
        let error = #expect(throws: SettingsError.self) { try root.finish() }
        #expect(
            error?.description == "run.yaml:2: \(key): unknown key \"\(key)\"; did you mean "
                + "\"\(meant)\"? allowed here: batch-size, epochs")
    }

    @Test func unknownKeysWithoutANeighbour() throws {
        let root = try parse("zebra: 1\n")
        _ = try root.integer("epochs", default: 1)
        let error = #expect(throws: SettingsError.self) { try root.finish() }
        #expect(
            error?.description
                == "run.yaml:1: zebra: unknown key \"zebra\"; allowed here: epochs")
    }

    static let refusals: [(String, String)] = [
        ("a: 1\nb: 2\na: 3\n", "the key \"a\" is given more than once; keep one"),
        ("a: {b: 1, b: 2}\n", "the key \"b\" is given more than once; keep one"),
        ("a: &x 1\n", "run.yaml:1: a: anchors (&) and aliases (*) are not supported"),
        ("a: &x [1]\nb: *x\n", "run.yaml:1: a: anchors (&) and aliases (*) are not supported"),
        ("a: *x\n", "run.yaml:1: a: anchors (&) and aliases (*) are not supported"),
        ("a: &x [1]\n? *x\n: 2\n", "run.yaml:1: a: anchors (&) and aliases (*) are not supported"),
        ("? *x\n: 2\n", "run.yaml:1: expected a key of plain text"),
        ("&r {a: 1}\n", "run.yaml:1: anchors (&) and aliases (*) are not supported"),
        ("&k a: 1\n", "run.yaml:1: expected a key of plain text"),
        ("? [1, 2]\n: 3\n", "run.yaml:1: expected a key of plain text"),
        ("a: !!python/object x\n", "run.yaml:1: a: tags ("),
        ("a: !x 1\n", "run.yaml:1: a: tags (!x) are not supported"),
        ("a: 1\n---\nb: 2\n", "expected a single document in the stream"),
        ("- 1\n", "run.yaml:1: expected keys and values, found a list of 1"),
        ("text\n", "run.yaml:1: expected keys and values, found \"text\""),
        ("a: [1\nb: 2\n", "is not valid YAML"),
        ("a: b: c\n", "run.yaml:1: is not valid YAML"),
        ("a: \u{1}\n", "is not valid YAML"),
        (
            "a: " + String(repeating: "[", count: 40) + String(repeating: "]", count: 40),
            "nested too deeply: expected at most 16 levels"
        ),
        ("a: " + String(repeating: "[", count: 100_000), "is not valid YAML"),
        ("a: [\"x\", !!str \"y\"]\n", "run.yaml:1: a[1]: tags ("),
        ("b: {c: [1, {d: !x 1}]}\n", "run.yaml:1: b.c[1].d: tags (!x) are not supported"),
        ("!!str a: 1\n", "run.yaml:1: tags ("),
        (
            "a:\n" + String(repeating: "- 1\n", count: StrictDocument.maximumValueCount),
            "more than 16384 keys and values"
        ),
    ]

    @Test(arguments: refusals)
    func refuses(_ text: String, _ problem: String) {
        let error = #expect(throws: SettingsError.self) { try parse(text) }
        #expect(error?.description.contains(problem) == true, "\(error?.description ?? "nothing")")
        #expect(error?.description.hasPrefix("run.yaml:") == true)
    }

    @Test func refusesWhatWouldExpand() {
        var text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        for level in 1...30 {
            let aliases = Array(repeating: "*a\(level - 1)", count: 9).joined(separator: ", ")
            text += "a\(level): &a\(level) [\(aliases)]\n"
        }
        #expect(throws: SettingsError.self) { try parse(text) }
    }

    @Test func refusesWhatIsTooLarge() {
        let text = "a: " + String(repeating: "x", count: StrictDocument.maximumByteCount)
        let error = #expect(throws: SettingsError.self) { try parse(text) }
        #expect(
            error?.description
                == "run.yaml: expected at most 1048576 bytes of settings, found 1048579")
    }

    @Test func readsFiles() throws {
        let file = FileManager.default.temporaryDirectory
            .appending(path: "convoy-settings-\(UInt64.random(in: 0 ... .max)).yaml")
        let missing = #expect(throws: SettingsError.self) {
            try StrictDocument.load(file: file.path)
        }
        #expect(
            missing?.description == "\(file.path): cannot be read: No such file or directory")
        defer { try? FileManager.default.removeItem(at: file) }
        try Data("a: 1\n".utf8).write(to: file)
        #expect(try StrictDocument.load(file: file.path).integer("a") == 1)
        try Data([0x61, 0x3A, 0x20, 0xFF]).write(to: file)
        #expect(throws: SettingsError.self) { try StrictDocument.load(file: file.path) }
        try Data(repeating: 0x61, count: 2 << 20).write(to: file)
        #expect(throws: SettingsError.self) { try StrictDocument.load(file: file.path) }
        #expect(throws: SettingsError.self) { try StrictDocument.load(file: "/") }
        #expect(throws: SettingsError.self) { try StrictDocument.load(file: "/dev/zero") }
    }
}
