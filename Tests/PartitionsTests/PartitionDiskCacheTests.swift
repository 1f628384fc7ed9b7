import Checksums
import FoundationEssentials
import Glibc
import Partitions
import TestSupport
import Testing

@Suite struct PartitionDiskCacheTests {
    private static func sha256(_ bytes: [UInt8]) -> String {
        SHA256.hash(data: bytes).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    private static func content(_ number: Int, _ count: Int = 1000) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ number) }
    }

    @discardableResult
    private func put(
        _ bytes: [UInt8], into cache: PartitionDiskCache, sparing: Set<String> = []
    ) throws -> String {
        let name = Self.sha256(bytes)
        let draft = try #require(
            try cache.begin(name, byteCount: bytes.count, sparing: sparing))
        try draft.append(Array(bytes.prefix(300)))
        try draft.append(Array(bytes.dropFirst(300)))
        #expect(try draft.finish() == name)
        return name
    }

    private func age(_ cache: PartitionDiskCache, _ name: String, seconds: Int) {
        let time = timespec(tv_sec: Glibc.time(nil) - seconds, tv_nsec: 0)
        utimensat(AT_FDCWD, cache.path(name), [time, time], 0)
    }

    @Test func keepsWhatItIsGiven() throws {
        let directory = try TemporaryDirectory()
        let cache = try PartitionDiskCache(directory: "\(directory.path)/a/b", byteLimit: 10_000)
        let name = try put(Self.content(1), into: cache)
        let found = try #require(try cache.read(name))
        #expect(found.bytes == Self.content(1) && found.sha256 == name)
        #expect(try cache.read(Self.sha256([1])) == nil)
        #expect(try directory.names("a/b").count == 1)
    }

    /// The file unused for the longest time goes first; a read counts as use.
    @Test func boundAndLeastRecentlyUsed() throws {
        let directory = try TemporaryDirectory()
        let cache = try PartitionDiskCache(directory: directory.path, byteLimit: 3_500)
        let names = try (0..<3).map { try put(Self.content($0), into: cache) }
        for (index, name) in names.enumerated() { age(cache, name, seconds: 100 - index) }
        #expect(try cache.read(names[0]) != nil)
        let last = try put(Self.content(3), into: cache)
        #expect(cache.find(names[1]) == nil, "the oldest that was not read since")
        #expect(cache.find(names[0]) != nil && cache.find(names[2]) != nil)
        #expect(cache.find(last) != nil)
    }

    @Test func whatIsFetchedAheadTakesNobodysPlace() throws {
        let directory = try TemporaryDirectory()
        let cache = try PartitionDiskCache(directory: directory.path, byteLimit: 2_500)
        let kept = Set(try (0..<2).map { try put(Self.content($0), into: cache) })
        let next = Self.sha256(Self.content(2))
        #expect(try cache.begin(next, byteCount: 1000, sparing: kept) == nil)
        #expect(kept.allSatisfy { cache.find($0) != nil })
        try put(Self.content(2), into: cache)
    }

    @Test func largerThanTheBound() throws {
        let directory = try TemporaryDirectory()
        let cache = try PartitionDiskCache(directory: directory.path, byteLimit: 999)
        let error = dataError { try cache.begin(Self.sha256([]), byteCount: 1000) }
        #expect(error?.kind == .unwritable && error?.description.contains("--cache-bytes") == true)
    }

    /// Only complete and correct files ever have a partition's name.
    @Test func halfAndWrongFilesAreNotKept() throws {
        let directory = try TemporaryDirectory()
        let cache = try PartitionDiskCache(directory: directory.path, byteLimit: 10_000)
        let name = Self.sha256(Self.content(1))
        do {
            let half = try #require(try cache.begin(name, byteCount: 1000))
            try half.append([1, 2, 3])
            #expect(try directory.names().count == 1)
        }
        #expect(try directory.names().isEmpty, "a draft goes with its last holder")
        let wrong = try #require(try cache.begin(name, byteCount: 1000))
        try wrong.append(Self.content(2))
        #expect(try wrong.finish() == Self.sha256(Self.content(2)))
        #expect(cache.find(name) == nil)
    }

    @Test func leftOversGoAndForeignFilesStay() throws {
        let directory = try TemporaryDirectory()
        let name = Self.sha256(Self.content(1))
        let (old, new) = ("\(name).1-1.part", "\(name).2-1.part")
        for file in [old, new, "notes.txt", "model.safetensors"] {
            try directory.write(Self.content(0, 5_000), file)
        }
        let past = timespec(tv_sec: Glibc.time(nil) - 4_000, tv_nsec: 0)
        for file in [old, "notes.txt", "model.safetensors"] {
            utimensat(AT_FDCWD, "\(directory.path)/\(file)", [past, past], 0)
        }
        let cache = try PartitionDiskCache(directory: directory.path, byteLimit: 2_000)
        try put(Self.content(1), into: cache)
        #expect(
            try directory.names().sorted()
                == ["\(name).safetensors", new, "model.safetensors", "notes.txt"].sorted())
    }

    @Test func damageShowsInTheDigest() throws {
        let directory = try TemporaryDirectory()
        let cache = try PartitionDiskCache(directory: directory.path, byteLimit: 10_000)
        let name = try put(Self.content(1), into: cache)
        var bytes = Self.content(1)
        bytes[500] ^= 4
        try directory.write(bytes, "\(name).safetensors")
        #expect(try cache.read(name)?.sha256 == Self.sha256(bytes))
        cache.remove(name)
        #expect(try cache.read(name) == nil)
    }

    /// Several users of one directory, like several processes, read only whole files. The bound
    /// holds, apart from files that are being written.
    @Test func manyUsersAtOnce() async throws {
        let directory = try TemporaryDirectory()
        let path = directory.path
        let hitCount = try await withThrowingTaskGroup(of: Int.self) { group in
            for user in 0..<4 {
                group.addTask {
                    let cache = try PartitionDiskCache(directory: path, byteLimit: 4_000)
                    var hitCount = 0
                    for round in 0..<200 {
                        let bytes = Self.content((round * 5 + user) % 8)
                        if let found = try cache.read(Self.sha256(bytes)) {
                            #expect(found.bytes == bytes)
                            hitCount += 1
                        } else {
                            let name = Self.sha256(bytes)
                            let draft = try cache.begin(name, byteCount: bytes.count)
                            try draft?.append(bytes)
                            #expect(try draft?.finish() == name)
                        }
                    }
                    return hitCount
                }
            }
            return try await group.reduce(0, +)
        }
        #expect(hitCount > 0)
        let names = try directory.names()
        #expect(names.count <= 4 + 4 && names.allSatisfy { $0.hasSuffix(".safetensors") })
    }
}

extension TemporaryDirectory {
    fileprivate func names(_ folder: String = "") throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: "\(path)/\(folder)")
    }
}
