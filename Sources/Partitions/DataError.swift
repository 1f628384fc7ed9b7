import Glibc
import SafeTensors

/// The reason why a data set cannot be used. The description is one line.
public struct DataError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The kind of a data error, for code that reacts to some kinds.
    public enum Kind: Sendable, Hashable {
        /// A data specification has an unknown form.
        case unknownSource
        /// A file or directory is missing, forbidden, or fails to be read.
        case unreadable
        /// The Debian package that contains the data is not installed.
        case missingPackage
        /// A file ends earlier than its own header says.
        case truncated
        /// A file goes on after the end that its own header gives.
        case trailingBytes
        /// A gzip stream ends before its end marker and checksum.
        case truncatedCompression
        /// A gzip stream does not decompress.
        case corruptCompression
        /// A gzip stream decompressed to other bytes than were compressed.
        case badCompressionChecksum
        /// A file's magic number is not that of the expected format.
        case wrongMagic
        /// Two sizes that must agree do not.
        case sizeMismatch
        /// A label is not below the number of classes.
        case labelOutOfRange
        /// A target is not a finite number.
        case badTarget
        /// A record cannot be decoded. The policy for bad records decides whether it is left out.
        case badRecord
        /// A file was written to while it was imported.
        case changed
        /// A split that needs records has none.
        case emptySet
        /// A manifest or catalog is malformed or contradicts itself.
        case badManifest
        /// A path leads out of the data's directory.
        case forbiddenPath
        /// A partition's bytes do not have the SHA-256 that its manifest gives.
        case checksumMismatch
        /// A partition file's header or labels do not match its manifest.
        case badPartitionFile
        /// A line of the ledger is malformed.
        case badLedgerLine
        /// A number given by the user does not work with this data.
        case badSetting
        /// A file, directory or cache cannot be written or has no room.
        case unwritable
        /// The process that has the data did not answer.
        case unreachable
    }

    /// The kind of the error.
    public let kind: Kind
    /// The file or setting at fault.
    public let file: String
    /// The thing that is wrong, as a noun phrase or a short clause.
    public let what: String
    /// The value or state that was expected.
    public let expected: String
    /// The value or state that was found.
    public let found: String
    /// Advice on how to remove the cause; may be empty.
    public let advice: String

    /// Creates an error from its parts.
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

    /// Creates an `unreadable` error from a system call that failed on input.
    init(reading error: SystemCallError) {
        self.init(
            .unreadable, file: error.path, what: "cannot \(error.action) the file",
            expected: "success",
            found: error.reason, advice: "check the path and its permissions")
    }

    /// Creates an `unwritable` error from a system call that failed on output.
    init(writing error: SystemCallError) {
        self.init(
            .unwritable, file: error.path, what: "cannot \(error.action) the file",
            expected: "success",
            found: error.reason, advice: "check the disk's free space and permissions")
    }

    /// Creates an error from a safetensors error about a partition file.
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

    /// One line of text: file, what is wrong, expected, found and advice.
    public var description: String {
        let text = "\(file): \(what): expected \(expected), found \(found)"
        let line = advice.isEmpty ? text : "\(text); \(advice)"
        return String(line.map { $0.isNewline ? " " : $0 })
    }
}

/// Runs `body` and turns a failed system call on input into a `DataError`.
func reading<Result>(
    _ body: () throws(SystemCallError) -> Result
) throws(DataError) -> Result {
    do throws(SystemCallError) { return try body() } catch { throw DataError(reading: error) }
}

/// Runs `body` and turns a failed system call on output into a `DataError`.
func writing<Result>(
    _ body: () throws(SystemCallError) -> Result
) throws(DataError) -> Result {
    do throws(SystemCallError) { return try body() } catch { throw DataError(writing: error) }
}

/// Runs `body` and turns an error about a safetensors file into a `DataError`.
func tensors<Result>(
    _ body: () throws(SafeTensorsError) -> Result
) throws(DataError) -> Result {
    do throws(SafeTensorsError) { return try body() } catch { throw DataError(error) }
}

/// Throws `unreadable` unless `path` is a directory; `what` names its contents in the error.
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
