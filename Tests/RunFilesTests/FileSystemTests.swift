import ClusterProtocol
import Glibc
import RunFiles
import TestSupport
import Testing

/// What happens to files that are removed, followed or named.
@Suite struct FileSystemTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func write(_ name: String, _ text: String) throws {
        try FileSystem.replace("\(directory.path)/\(name)", with: text)
    }

    @Test func removingALinkKeepsWhatItNames() throws {
        let (real, link) = ("\(directory.path)/real", "\(directory.path)/link")
        try FileSystem.makeDirectories(real)
        try write("real/file", "kept")
        #expect(symlink(real, link) == 0)
        FileSystem.remove(link)
        #expect(access(link, F_OK) != 0)
        #expect(FileSystem.names(in: real) == ["file"])
        FileSystem.remove(real)
        #expect(access(real, F_OK) != 0)
        FileSystem.remove("\(directory.path)/never there")
    }

    /// A line beyond the bound is left out, and those after it are read.
    @Test func followingAFileGoesOnAfterALineThatIsTooLong() throws {
        let path = "\(directory.path)/lines"
        let long = String(repeating: "x", count: FileTail.maximumByteCount + 5)
        try write("lines", "first\n")
        var tail = FileTail(path)
        #expect(tail.added() == ["first"])
        try write("lines", "first\n\(long)")
        #expect(tail.added().isEmpty)
        #expect(tail.added().isEmpty)
        try write("lines", "first\n\(long)\nlast\nunfinished")
        #expect(tail.added() == ["last"])
        #expect(tail.added().isEmpty)
        try write("lines", "first\n\(long)\nlast\nunfinished no more\n")
        #expect(tail.added() == ["unfinished no more"])
    }

    /// Only the names that the store itself gives are those of checkpoints.
    @Test(arguments: [
        "step-5", "step--0000001", "step-000000005", "step-+0000005", "step-00000005.tmp", "step-",
    ])
    func otherNamesAreNotCheckpoints(name: String) {
        #expect(CheckpointStore.step(name: name) == nil)
    }

    @Test(arguments: [0, 7, 99_999_999, 123_456_789])
    func checkpointsHaveOneName(step: Int) {
        #expect(CheckpointStore.step(name: CheckpointStore.name(step: step)) == step)
    }
}
