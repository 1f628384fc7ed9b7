import FoundationEssentials
import Glibc
import Partitions
import TestSupport
import Testing

/// The limit on the size of the cache of imported sets.
@Suite(.timeLimit(.minutes(1))) struct DataCacheRoomTests {
    private let directory: TemporaryDirectory
    private var cache: String { "\(directory.path)/cache" }

    init() throws { directory = try TemporaryDirectory() }

    private func specification(_ name: String) throws -> DataSpecification {
        let file = "\(name)/train.csv"
        if !FileManager.default.fileExists(atPath: "\(directory.path)/\(file)") {
            let rows = (0..<40).map { "\($0).5,\($0 % 3),\(name.count)" }
            try directory.write("a,label,b\n" + rows.joined(separator: "\n") + "\n", file)
        }
        return try DataSpecification("csv:\(directory.path)/\(name)")
    }

    private func imported(_ name: String, limit: Int) throws -> String {
        try DataImport(cache: DataCache(directory: cache, byteLimit: limit), threadCount: 1)
            .directory(specification(name), partitionCount: 2)
    }

    private func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

    /// Sets the time of a directory's last use, in seconds before now.
    private func use(_ path: String, secondsAgo: Int) {
        let then = timespec(tv_sec: time(nil) - secondsAgo, tv_nsec: 0)
        #expect(utimensat(AT_FDCWD, path, [then, then], 0) == 0)
    }

    @Test func longestUnusedGoFirst() throws {
        let first = try imported("a", limit: 1 << 30)
        let second = try imported("bb", limit: 1 << 30)
        let third = try imported("ccc", limit: 1 << 30)
        use(first, secondsAgo: 100)
        use(second, secondsAgo: 300)
        use(third, secondsAgo: 200)
        // Finding a set is a use of it.
        #expect(try imported("bb", limit: 1 << 30) == second)
        let size = try FileManager.default.contentsOfDirectory(atPath: first).reduce(0) {
            try $0 + directory.read("cache/\(first.split(separator: "/").last!)/\($1)").count
        }
        let fourth = try imported("dddd", limit: 3 * size + size / 2)
        #expect(exists(first) && exists(second) && !exists(third) && exists(fourth))
        // A set that is too large by itself stays, and is all that stays.
        let fifth = try imported("eeeee", limit: 0)
        #expect(!exists(first) && !exists(second) && !exists(fourth) && exists(fifth))
        #expect(try imported("a", limit: 1 << 30) == first)
    }

    @Test func setsInUseStay() throws {
        let first = try imported("a", limit: 1 << 30)
        var set: DataSet? = try DataSet.openKnown(
            specification("a"), partitionCount: 2, memoryLimitByteCount: 0,
            cache: DataCache(directory: cache))
        let records = Array(0..<40)
        let expected = try #require(set).gather(.training, records: records)
        use(first, secondsAgo: 100)
        _ = try imported("bb", limit: 0)
        #expect(exists(first))
        #expect(try #require(set).gather(.training, records: records) == expected)
        set = nil
        use(first, secondsAgo: 100)
        _ = try imported("ccc", limit: 0)
        #expect(!exists(first))
    }

    @Test func abandonedImportsGo() throws {
        let key = String(repeating: "ab", count: 32)
        let names = [
            "\(key).part", "\(key).77.removed", "kept", "\(key.dropLast()).part", "\(key).other",
        ]
        let leftovers = names.map { "\(cache)/\($0)" }
        for path in leftovers {
            try directory.write("x", String(path.dropFirst(directory.path.count + 1)) + "/file")
            use(path, secondsAgo: 6 * 86_400)
        }
        _ = try imported("a", limit: 1 << 30)
        for path in leftovers {
            #expect(exists(path), "\(path)")
            use(path, secondsAgo: 8 * 86_400)
        }
        let lock = open("\(cache)/\(key).lock", O_RDWR | O_CREAT, 0o600)
        #expect(flock(lock, LOCK_EX | LOCK_NB) == 0)
        _ = try imported("bb", limit: 1 << 30)
        #expect(leftovers.map(exists) == [true, false, true, true, true])
        close(lock)
        _ = try imported("ccc", limit: 1 << 30)
        #expect(leftovers.map(exists) == [false, false, true, true, true])
    }
}
