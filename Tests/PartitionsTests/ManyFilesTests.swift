import CLinux
import Partitions
import Testing

@Suite struct ManyFilesTests {
    /// A million paths as a picture folder has them take less than 300 MB: the bytes of the text,
    /// eight more for each, and what an array has in reserve.
    @Test func aMillionPaths() async {
        await #expect(processExitsWith: .success) {
            let before = convoy_allocated_byte_count()
            var list = FileList(root: "/data/pictures")
            for index in 0..<1_000_000 {
                list.append("n\(1_000_000 + index % 1000)/n\(1_000_000 + index % 1000)_\(index).JPEG".utf8)
            }
            #expect(convoy_allocated_byte_count() - before < 100_000_000)
            #expect(list.count == 1_000_000)
            #expect(list.name(999_999) == "n1000999/n1000999_999999.JPEG")
        }
    }
}
