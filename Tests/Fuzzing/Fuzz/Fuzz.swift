import CLibFuzzer
import FoundationEssentials
import Glibc
import ReaderHarness

/// Gives one reader inputs that libFuzzer generates. `Scripts/bench/fuzz.sh` builds and runs it.
///
/// - `fuzz list`: prints the readers' names and the longest input to try of each.
/// - `fuzz seeds READER DIRECTORY`: writes the inputs to begin with.
/// - `fuzz run READER [flags and directories of libFuzzer]`: fuzzes one reader.
@main
enum Fuzz {
    nonisolated(unsafe) private static var reader: Reader?

    static func main() {
        let arguments = CommandLine.arguments
        switch arguments.dropFirst().first {
        case "list" where arguments.count == 2:
            for reader in Reader.all { print(reader.name, reader.maximumByteCount) }
        case "seeds" where arguments.count == 4: writeSeeds(named(arguments[2]), arguments[3])
        case "run" where arguments.count >= 3: run(named(arguments[2]), flagsFrom: 3)
        default:
            // libFuzzer starts its own program again, to merge and to shrink, with only its own
            // flags.
            guard let name = getenv(variable) else {
                fail("usage: fuzz list | seeds READER DIRECTORY | run READER [flags]")
            }
            run(named(String(cString: name)), flagsFrom: 1)
        }
    }

    /// The environment variable that tells a child its reader.
    private static let variable = "CONVOY_FUZZ_READER"

    private static func run(_ reader: Reader, flagsFrom first: Int) {
        setenv(variable, reader.name, 1)
        // Safety: written only here, before the one thread that reads it starts.
        self.reader = reader
        // libFuzzer wants the name of the program and its own arguments.
        var rest: [UnsafeMutablePointer<CChar>?] =
            ([CommandLine.arguments[0]]
            + CommandLine.arguments.dropFirst(first)).map { strdup($0) }
        var count = Int32(rest.count)
        rest.append(nil)
        rest.withUnsafeMutableBufferPointer { buffer in
            var arguments = buffer.baseAddress
            exit(LLVMFuzzerRunDriver(&count, &arguments) { Fuzz.read($0, $1) })
        }
    }

    private static func read(_ bytes: UnsafePointer<UInt8>?, _ byteCount: Int) -> CInt {
        do throws(ReaderFlaw) {
            _ = try reader?.read(UnsafeRawBufferPointer(start: bytes, count: byteCount))
        } catch {
            // libFuzzer takes a crash for a find.
            print("flaw:", error)
            abort()
        }
        return 0
    }

    private static func writeSeeds(_ reader: Reader, _ directory: String) {
        do {
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true)
            for (index, seed) in reader.seeds.enumerated() {
                try Data(seed).write(to: URL(filePath: "\(directory)/seed-\(index)"))
            }
        } catch { fail("\(directory): \(error)") }
    }

    private static func named(_ name: String) -> Reader {
        guard let reader = Reader.all.first(where: { $0.name == name }) else {
            fail("no reader \(name); there are \(Reader.all.map(\.name).joined(separator: ", "))")
        }
        return reader
    }

    private static func fail(_ text: String) -> Never {
        let line = "fuzz: \(text)\n"
        _ = line.withCString { write(2, $0, strlen($0)) }
        exit(64)
    }
}
