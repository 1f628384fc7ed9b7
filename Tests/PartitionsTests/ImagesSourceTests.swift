import FoundationEssentials
import Glibc
import Partitions
import Pictures
import TestSupport
import Testing

/// A folder of small grey pictures whose pixels follow from their number.
struct PictureFolder {
    let directory: TemporaryDirectory
    let cache: TemporaryDirectory

    init() throws {
        directory = try TemporaryDirectory()
        cache = try TemporaryDirectory()
    }

    static func png(_ number: Int, height: Int = 4, width: Int = 6) -> [UInt8] {
        PNGEncoder.encode(
            width: width, height: height, channels: 1,
            pixels: (0..<height * width).map { UInt8(truncatingIfNeeded: number &* 37 &+ $0 &* 11) })
    }

    func add(_ path: String, _ bytes: [UInt8]) throws {
        let folder = path.split(separator: "/").dropLast().joined(separator: "/")
        try FileManager.default.createDirectory(
            atPath: "\(directory.path)/\(folder)", withIntermediateDirectories: true)
        try directory.write(bytes, path)
    }

    /// Adds `counts.count` classes with so many pictures.
    func fill(_ counts: [Int], below prefix: String = "") throws {
        var number = 0
        for (label, count) in counts.enumerated() {
            for index in 0..<count {
                try add("\(prefix)class\(label)/\(index).png", Self.png(number))
                number += 1
            }
        }
    }

    func specification(_ change: (inout SourceOptions) -> Void = { _ in }) throws -> DataSpecification {
        var options = SourceOptions()
        options.image.picture.channels = 1
        change(&options)
        return try DataSpecification("images:\(directory.path)", options: options)
    }

    func importer(threads: Int = 2) -> DataImport {
        DataImport(cache: DataCache(directory: cache.path), threadCount: threads)
    }

    func open(
        partitions: Int = 2, threads: Int = 2, _ change: (inout SourceOptions) -> Void = { _ in }
    ) throws -> DataSet {
        try DataSet.open(
            specification(change), partitionCount: partitions, importer: importer(threads: threads))
    }
}

@Suite struct ImagesSourceTests {
    /// The order is that of folders and names by their bytes; other files are left out.
    @Test func filesAreInOrder() throws {
        let folder = try PictureFolder()
        for path in [
            "b/2.png", "b/10.PNG", "a/z.png", "a/sub/1.png", "a/Z.png", "a-b/1.png", "b/sub.d/1.png",
        ] {
            try folder.add(path, PictureFolder.png(1))
        }
        for path in ["b/.hidden.png", "b/notes.txt", "b/Thumbs.db", "top.png"] {
            try folder.add(path, [1])
        }
        let files = try PictureFiles.list(folder.directory.path)
        #expect((0..<files.count).contains { files.name($0) == "top.png" })
        let set = try folder.open(partitions: 1)
        #expect(set.description.classNames == ["a", "a-b", "b"])
        #expect(set.description.classHistogram == [3, 1, 3])
        #expect(set.description.shape == [1, 4, 6])
        let facts = try #require(DataImport.facts(folder.importer().directory(folder.specification(), partitionCount: 1)))
        #expect(facts.remarks.contains { $0.contains("1 *.txt") && $0.contains("1 hidden") })
    }

    /// Pixels, labels and partitions do not depend on the number of threads.
    @Test func anyNumberOfThreads() throws {
        let folder = try PictureFolder()
        try folder.fill([40, 25, 3])
        var manifests: [[UInt8]] = []
        for threads in [1, 2, 3] {
            let cache = try TemporaryDirectory()
            let importer = DataImport(
                cache: DataCache(directory: cache.path), threadCount: threads)
            let path = try importer.directory(folder.specification(), partitionCount: 5)
            manifests.append(
                try cache.read("\(path.dropFirst(cache.path.count + 1))/manifest.json"))
        }
        #expect(manifests[0] == manifests[1] && manifests[0] == manifests[2])
        let set = try folder.open(partitions: 5)
        #expect(set.description.trainingCount == 68 && set.partitionRecordCounts == [14, 14, 14, 13, 13])
        let all = try set.stored(.training, range: 0..<68)
        // Each picture is there once, with the label of its folder.
        var found: [[UInt8]: Int32] = [:]
        for record in 0..<68 {
            found[Array(all.images[record * 24..<(record + 1) * 24])] = all.labels[record]
        }
        for number in 0..<68 {
            let pixels = (0..<24).map { UInt8(truncatingIfNeeded: number &* 37 &+ $0 &* 11) }
            #expect(found[pixels] == (number < 40 ? 0 : number < 65 ? 1 : 2))
        }
        // The classes do not lie in their order.
        #expect(Set(all.labels[0..<14]).count > 1)
    }

    @Test func splitsAreFoundByName() throws {
        let folder = try PictureFolder()
        try folder.fill([5, 4], below: "train/")
        try folder.fill([2, 3], below: "val/")
        let set = try folder.open()
        #expect(set.description.trainingCount == 9 && set.description.testCount == 5)
        #expect(try set.stored(.test, range: 0..<5).labels == [0, 0, 1, 1, 1])
        try folder.add("val/class9/1.png", PictureFolder.png(1))
        let error = dataError { try folder.open() }
        #expect(error?.kind == .badSetting && error?.file.hasSuffix("val/class9") == true)
    }

    /// A second start finds the set without decoding; a change makes another set.
    @Test func theSecondStartFindsIt() throws {
        let folder = try PictureFolder()
        try folder.fill([6, 6])
        let specification = try folder.specification()
        #expect(try folder.importer().find(specification, partitionCount: 2) == nil)
        let first = try folder.importer().directory(specification, partitionCount: 2)
        #expect(try folder.importer().find(specification, partitionCount: 2) == first)
        #expect(try folder.importer().find(specification, partitionCount: 3) == nil)
        try folder.add("class1/2.png", PictureFolder.png(99))
        #expect(try folder.importer().find(specification, partitionCount: 2) == nil)
        let second = try folder.importer().directory(specification, partitionCount: 2)
        #expect(second != first)
        // The same contents at another place are the same set.
        try folder.add("class1/2.png", PictureFolder.png(8))
        #expect(try folder.importer().directory(specification, partitionCount: 2) == first)
    }

    @Test func badPicturesFollowThePolicy() throws {
        let folder = try PictureFolder()
        try folder.fill([10, 10])
        var broken = PictureFolder.png(3)
        broken.removeLast(20)
        try folder.add("class0/3.png", broken)
        try folder.add("class1/7.png", Array("GIF89a".utf8) + [0, 0, 0, 0])
        let failed = dataError { try folder.open() }
        #expect(failed?.kind == .badRecord)
        #expect(failed?.description.contains("bad-records: skip") == true)
        let one = dataError { try folder.open { $0.image.badRecords = .skip(count: 1) } }
        #expect(one?.kind == .badRecord)
        for policy in [BadRecordPolicy.skip(count: 2), .skipPercent(10)] {
            let set = try folder.open { $0.image.badRecords = policy }
            #expect(set.description.trainingCount == 18)
            #expect(set.description.classHistogram == [9, 9])
            let all = try set.stored(.training, range: 0..<18)
            var different: Set<[UInt8]> = []
            for record in 0..<18 {
                different.insert(Array(all.images[record * 24..<(record + 1) * 24]))
            }
            #expect(different.count == 18)
        }
        let directory = try folder.importer().directory(
            folder.specification { $0.image.badRecords = .skip(count: 2) }, partitionCount: 2)
        let facts = try #require(DataImport.facts(directory))
        #expect(facts.skipped.keys.sorted() == ["class0/3.png", "class1/7.png"])
        #expect(facts.skipped["class1/7.png"]?.contains("GIF") == true)
        let report = try PartitionVerifier.verify(directory: directory)
        #expect(report.description.trainingCount == 18)
    }

    @Test func foldersThatAreNone() throws {
        let folder = try PictureFolder()
        #expect(dataError { try folder.open() }?.kind == .emptySet)
        try folder.fill([3, 3])
        try FileManager.default.createDirectory(
            atPath: "\(folder.directory.path)/empty", withIntermediateDirectories: true)
        let empty = dataError { try folder.open() }
        #expect(empty?.kind == .emptySet && empty?.file.hasSuffix("/empty") == true)
        #expect(try folder.open { $0.image.allowsEmptyClasses = true }.description.classCount == 3)
        rmdir("\(folder.directory.path)/empty")
        try folder.add("class1/odd.png", PictureFolder.png(5, height: 5))
        let odd = dataError { try folder.open() }
        #expect(odd?.kind == .badRecord && odd?.found == "5 x 6")
        #expect(odd?.description.contains("class0/0.png") == true)
        #expect(
            try folder.open {
                $0.image.picture.size = PictureOptions.Size(height: 8, width: 8)
            }.description.shape == [1, 8, 8])
        symlink(folder.directory.path, "\(folder.directory.path)/class0/loop")
        let loop = dataError { try folder.open() }
        #expect(loop?.kind == .unreadable && loop?.file.contains("loop") == true)
        let missing = dataError {
            try DataSet.open(DataSpecification("images:/no such place"), partitionCount: 1)
        }
        #expect(missing?.kind == .unreadable)
    }

    /// Names are bytes, as the system has them.
    @Test func namesThatAreNoText() throws {
        let folder = try PictureFolder()
        try folder.fill([2, 2])
        let name = Array("\(folder.directory.path)/class0/".utf8) + [0xFF, 0xFE] + Array(".png".utf8)
        let descriptor = open(name.map { CChar(bitPattern: $0) } + [0], O_WRONLY | O_CREAT, 0o600)
        #expect(descriptor >= 0)
        let bytes = PictureFolder.png(50)
        #expect(write(descriptor, bytes, bytes.count) == bytes.count)
        close(descriptor)
        #expect(try folder.open().description.classHistogram == [3, 2])
    }
}
