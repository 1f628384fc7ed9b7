import Glibc
import SafeTensors

/// Why a data set cannot be used; its description is one line.
public struct DataError: Error, Sendable, Hashable, CustomStringConvertible {
    public enum Kind: Sendable, Hashable {
        case unknownSource
        /// Missing, forbidden or failing to read.
        case unreadable
        case missingPackage
        /// Ends before its own header says.
        case truncated
        /// Goes on after its own header says.
        case trailingBytes
        case truncatedCompression
        case corruptCompression
        /// Decompressed, but to other bytes than were compressed.
        case badCompressionChecksum
        case wrongMagic
        /// Two sizes that must agree do not.
        case sizeMismatch
        case labelOutOfRange
        case emptySet
        case badManifest
        /// A path that leads out of the data's directory.
        case forbiddenPath
        /// A partition's bytes are not those its manifest names.
        case checksumMismatch
        case badPartitionFile
        /// A line of the ledger that is none.
        case badLedgerLine
        /// A number given by the user that cannot work with this data.
        case badSetting
        case unwritable
        /// Whoever has it did not answer.
        case unreachable
    }

    public let kind: Kind
    /// The file or setting at fault.
    public let file: String
    public let what: String
    public let expected: String
    public let found: String
    /// What to do about it; may be empty.
    public let advice: String

    public init(
        _ kind: Kind, file: String, what: String, expected: String, found: String,
        advice: String = ""
    ) {
        self.kind = kind
        self.file = file
        self.what = what
        self.expected = expected
        self.found = found
        self.advice = advice
    }

    init(reading error: SystemCallError) {
        self.init(
            .unreadable, file: error.path, what: "cannot \(error.action) the file",
            expected: "success",
            found: error.reason, advice: "check the path and its permissions")
    }

    init(writing error: SystemCallError) {
        self.init(
            .unwritable, file: error.path, what: "cannot \(error.action) the file",
            expected: "success",
            found: error.reason, advice: "check the disk's free space and permissions")
    }

    init(_ error: SafeTensorsError) {
        let kind: Kind =
            switch error.kind {
            case .inputOutput: .unreadable
            case .truncated: .truncated
            case .trailingBytes: .trailingBytes
            default: .badPartitionFile
            }
        self.init(
            kind, file: error.file, what: error.what, expected: error.expected, found: error.found,
            advice: "write the partition again")
    }

    public var description: String {
        let text = "\(file): \(what): expected \(expected), found \(found)"
        let line = advice.isEmpty ? text : "\(text); \(advice)"
        return String(line.map { $0.isNewline ? " " : $0 })
    }
}

/// Runs `body`, turning a failed system call on input into a `DataError`.
func reading<Result>(
    _ body: () throws(SystemCallError) -> Result
) throws(DataError) -> Result {
    do throws(SystemCallError) { return try body() } catch { throw DataError(reading: error) }
}

/// Runs `body`, turning a failed system call on output into a `DataError`.
func writing<Result>(
    _ body: () throws(SystemCallError) -> Result
) throws(DataError) -> Result {
    do throws(SystemCallError) { return try body() } catch { throw DataError(writing: error) }
}

/// Runs `body`, turning trouble with a safetensors file into a `DataError`.
func tensors<Result>(
    _ body: () throws(SafeTensorsError) -> Result
) throws(DataError) -> Result {
    do throws(SafeTensorsError) { return try body() } catch { throw DataError(error) }
}

/// Throws unless `path` is a directory.
func requireDirectory(_ path: String, holding what: String) throws(DataError) {
    var status = stat()
    let isThere = stat(path, &status) == 0
    if isThere, status.st_mode & S_IFMT == S_IFDIR { return }
    let reason = isThere ? "something else" : String(cString: strerror(errno))
    let isHome = path == "~" || path.hasPrefix("~/") || path.hasSuffix("/~") || path.contains("/~/")
    throw DataError(
        .unreadable, file: path,
        what: isThere ? "it is no directory" : "the directory cannot be opened",
        expected: "a directory with \(what)", found: reason,
        advice: isHome
            ? "write $HOME in place of ~, which a shell leaves alone within a word"
            : "check the path")
}
