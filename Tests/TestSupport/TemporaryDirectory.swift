import FoundationEssentials
import Glibc

/// A directory that is removed with its last reference.
package final class TemporaryDirectory: Sendable {
    package let path: String

    package init() throws {
        path = FileManager.default.temporaryDirectory.path + "/convoy-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes a file, and the directories above it.
    ///
    /// Foundation would wait for the disk, which tests that write thousands of files cannot.
    ///
    /// - Returns: the path of the file.
    @discardableResult
    package func write(_ bytes: [UInt8], _ name: String) throws -> String {
        let file = "\(path)/\(name)"
        let parent = String(file[..<file.lastIndex(of: "/")!])
        try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
        guard let stream = fopen(file, "w") else { throw Unwritable(path: file) }
        let count = fwrite(bytes, 1, bytes.count, stream)
        guard fclose(stream) == 0, count == bytes.count else { throw Unwritable(path: file) }
        return file
    }

    /// Writes a text file, and the directories above it.
    @discardableResult
    package func write(_ text: String, _ name: String) throws -> String {
        try write(Array(text.utf8), name)
    }

    package func append(_ text: String, _ name: String) throws {
        try write(read(name) + Array(text.utf8), name)
    }

    package func read(_ name: String) throws -> [UInt8] {
        try [UInt8](Data(contentsOf: URL(filePath: "\(path)/\(name)")))
    }

    package func text(_ name: String) throws -> String {
        try String(decoding: read(name), as: UTF8.self)
    }

    package func copy(_ source: String, to target: String) throws {
        try FileManager.default.copyItem(atPath: "\(path)/\(source)", toPath: "\(path)/\(target)")
    }

    private struct Unwritable: Error { var path: String }
}
