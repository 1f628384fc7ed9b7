import Partitions
import Pictures
import TestSupport
import Testing

/// The options that choose records and change labels.
@Suite struct SelectionTests {
    private func labels(_ set: DataSet, _ split: DataSplit = .training) throws -> [Int32] {
        try set.stored(split, range: 0..<set.description.recordCount(split)).labels
    }

    private func records(_ set: DataSet, _ split: DataSplit = .training) throws -> Set<[UInt8]> {
        let count = set.description.recordCount(split)
        let size = set.description.elementCount
        let images = try set.stored(split, range: 0..<count).images
        return Set((0..<count).map { Array(images[$0 * size..<($0 + 1) * size]) })
    }

    @Test func classesAreRenamedAndDropped() throws {
        let folder = try PictureFolder()
        try folder.fill([5, 4, 3, 2])
        let set = try folder.open {
            $0.labels.map = ["class1": "good", "class3": "good"]
            $0.labels.drop = ["class0"]
        }
        #expect(set.description.classNames == ["good", "class2"])
        #expect(set.description.classHistogram == [6, 3])
        let kept = try folder.open {
            $0.labels.map = ["class1": "good", "class3": "good"]
            $0.filter.labels = ["good"]
        }
        #expect(kept.description.classNames == ["good"] && kept.description.trainingCount == 6)
        for change: (inout SourceOptions) -> Void in [
            { $0.labels.drop = ["class4"] }, { $0.labels.map = ["x": "y"] },
            { $0.filter.labels = ["class9"] },
        ] {
            let error = dataError { try folder.open(change) }
            #expect(error?.kind == .badSetting && error?.expected.contains("class0") == true)
        }
        let nothing = dataError {
            try folder.open { $0.labels.drop = ["class0", "class1", "class2", "class3"] }
        }
        #expect(nothing?.kind == .emptySet)
    }

    @Test func copiesAndSmallOnesAreLeftOut() throws {
        let folder = try PictureFolder()
        try folder.fill([4, 4])
        try folder.add("class1/copy.png", PictureFolder.png(2))
        try folder.add("class1/large.png", PictureFolder.png(77, height: 9, width: 9))
        let size: (inout SourceOptions) -> Void = {
            $0.image.picture.size = PictureOptions.Size(height: 4, width: 6)
        }
        #expect(try folder.open(size).description.trainingCount == 10)
        let unique = try folder.open {
            size(&$0)
            $0.filter.isUnique = true
        }
        #expect(unique.description.classHistogram == [4, 5])
        let large = try folder.open(partitions: 1) {
            size(&$0)
            $0.filter.minimumHeight = 5
        }
        #expect(large.description.classHistogram == [0, 1])
    }

    @Test(arguments: [SplitRule.Key.hash, .stratified, .group(#"(\d)\.png"#)])
    func splitsAreWhole(_ key: SplitRule.Key) throws {
        let folder = try PictureFolder()
        try folder.fill([60, 20])
        let whole = try records(folder.open())
        let set = try folder.open { $0.split = SplitRule(test: 0.25, by: key) }
        let (training, test) = (try records(set), try records(set, .test))
        #expect(training.union(test) == whole && training.isDisjoint(with: test))
        #expect(training.count + test.count == 80 && test.count > 5 && test.count < 45)
        if key == .stratified {
            #expect(set.description.classHistogram == [45, 15])
        }
        // More records leave the side of the others as it is.
        if key != .stratified {
            for index in 60..<70 {
                try folder.add("class0/\(index).png", PictureFolder.png(1000 + index))
            }
            let more = try folder.open { $0.split = SplitRule(test: 0.25, by: key) }
            #expect(try records(more).isSuperset(of: training))
            #expect(try records(more, .test).isSuperset(of: test))
        }
    }

    @Test func copiesAreOnOneSide() throws {
        let folder = try PictureFolder()
        try folder.fill([30, 30])
        for index in 0..<30 { try folder.add("class1/copy\(index).png", PictureFolder.png(index)) }
        let set = try folder.open { $0.split = SplitRule(test: 0.3) }
        #expect(try records(set).isDisjoint(with: records(set, .test)))
    }

    @Test func badSplits() throws {
        let folder = try PictureFolder()
        try folder.fill([6, 6])
        for key in [
            SplitRule.Key.group("nothing(x)"), .group("(class)"), .group("(["), .group("class"), .time,
        ] {
            let error = dataError { try folder.open { $0.split = SplitRule(test: 0.5, by: key) } }
            #expect(error?.kind == .badSetting, "\(key)")
        }
        try folder.fill([2, 2], below: "train/")
        try folder.fill([2, 2], below: "test/")
        let own = dataError { try folder.open { $0.split = SplitRule(test: 0.5) } }
        #expect(own?.kind == .badSetting && own?.found.contains("4") == true)
    }

    /// A smaller sample is part of a larger one.
    @Test func samplesAreNested() throws {
        let folder = try PictureFolder()
        try folder.fill([50, 50])
        var larger = try records(folder.open())
        for share in [0.7, 0.4, 0.1] {
            let sample = try records(folder.open(partitions: 1) { $0.sample = share })
            #expect(sample.isSubset(of: larger) && sample.count < larger.count)
            #expect(abs(Double(sample.count) - 100 * share) < 20)
            larger = sample
        }
    }

    @Test func unionsJoinClassesByName() throws {
        let (first, second) = (try PictureFolder(), try PictureFolder())
        try first.fill([3, 4])
        try second.add("class1/a.png", PictureFolder.png(100))
        try second.add("other/b.png", PictureFolder.png(101))
        var options = SourceOptions()
        options.union = [
            UnionMember(try first.specification()),
            UnionMember(try second.specification(), weight: 3),
        ]
        let specification = try DataSpecification("union", options: options)
        let set = try DataSet.open(
            specification, partitionCount: 2, importer: first.importer())
        #expect(set.description.classNames == ["class0", "class1", "other"])
        #expect(set.description.classHistogram == [3, 4 + 3, 3])
        #expect(try records(set).count == 9)
        options.union[1].specification.options.image.picture.channels = 3
        let unlike = dataError {
            try DataSet.open(
                DataSpecification("union", options: options), partitionCount: 2,
                importer: first.importer())
        }
        #expect(unlike?.kind == .sizeMismatch)
    }

    /// Options work on sources of bytes and on partitioned directories as well.
    @Test func anySourceTakesOptions() throws {
        let (source, set) = try IDXSample().open()
        let cache = try TemporaryDirectory()
        let importer = DataImport(cache: DataCache(directory: cache.path))
        let written = try TemporaryDirectory()
        try PartitionWriter.write(set, partitionCount: 3, directory: written.path)
        var options = SourceOptions()
        options.labels.drop = ["2"]
        for text in ["idx:\(source.path)", "partitions:\(written.path)"] {
            let changed = try DataSet.open(
                DataSpecification(text, options: options), partitionCount: 2, importer: importer)
            #expect(changed.description.classNames == ["0", "1", "3"])
            let histogram = set.description.classHistogram
            #expect(changed.description.classHistogram == [histogram[0], histogram[1], histogram[3]])
            #expect(try labels(changed, .test).count < 7)
        }
    }
}
