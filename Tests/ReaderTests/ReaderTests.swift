import FoundationEssentials
import ReaderHarness
import Testing

/// Every reader of bytes from outside, on its own seeds, on the fuzzer's corpus, and on inputs that
/// once broke something. `Scripts/bench/fuzz.sh` looks for more.
@Suite struct ReaderTests {
    private static let inputs =
        "/" + #filePath.split(separator: "/").dropLast(2).joined(separator: "/") + "/Fuzzing"

    private static func files(of reader: Reader, in kind: String) throws -> [String: [UInt8]] {
        let directory = "\(inputs)/\(kind)/\(reader.name)"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        return try names.reduce(into: [:]) { files, name in
            files["\(kind)/\(reader.name)/\(name)"] =
                try [UInt8](Data(contentsOf: URL(filePath: "\(directory)/\(name)")))
        }
    }

    @Test(arguments: Reader.all.map(\.name)) func takesItsSeeds(_ name: String) throws {
        let reader = try #require(Reader.all.first { $0.name == name })
        #expect(!reader.seeds.isEmpty)
        for (index, seed) in reader.seeds.enumerated() {
            #expect(seed.count <= reader.maximumByteCount, "seed \(index)")
            #expect(try reader.read(seed) == .taken, "seed \(index)")
        }
    }

    /// Seeds that are cut anywhere, or have one byte changed, are taken or refused without a flaw.
    @Test(arguments: Reader.all.map(\.name)) func survivesDamage(_ name: String) throws {
        let reader = try #require(Reader.all.first { $0.name == name })
        for seed in reader.seeds {
            let stride = max(1, seed.count / 200)
            for place in Swift.stride(from: 0, to: seed.count, by: stride) {
                _ = try reader.read(Array(seed[..<place]))
                var changed = seed
                for value: UInt8 in [0, 0xFF, 0x39, seed[place] ^ 1] {
                    changed[place] = value
                    _ = try reader.read(changed)
                }
            }
        }
    }

    @Test(arguments: Reader.all.map(\.name)) func survivesTheCorpus(_ name: String) throws {
        let reader = try #require(Reader.all.first { $0.name == name })
        let files = try Self.files(of: reader, in: "Corpus")
        #expect(!files.isEmpty, "run Scripts/bench/fuzz.sh, and again with --distill")
        for (file, bytes) in files.sorted(by: { $0.key < $1.key }) {
            #expect(throws: Never.self, "\(file)") { try reader.read(bytes) }
        }
    }

    /// Inputs that once broke a reader. After a trap, the test that did not end names the reader.
    @Test(arguments: Reader.all.map(\.name)) func staysMended(_ name: String) throws {
        let reader = try #require(Reader.all.first { $0.name == name })
        let files = try Self.files(of: reader, in: "Found")
        for (file, bytes) in files.sorted(by: { $0.key < $1.key }) {
            let clock = ContinuousClock()
            let time = clock.measure {
                #expect(throws: Never.self, "\(file)") { try reader.read(bytes) }
            }
            #expect(time < .seconds(60), "\(file)")
        }
    }
}
