import FoundationEssentials
import Partitions
import TestSupport
import Testing

/// What `convoy data` shows of data sets.
@Suite struct InspectionTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// Returns a PNG file of noise.
    private func picture(_ salt: Int, shape: [Int] = [3, 6, 8]) throws -> [UInt8] {
        let pixels = (0..<shape.reduce(1, *)).map {
            UInt8(truncatingIfNeeded: ($0 &* 31 &+ salt &* 101) ^ ($0 >> 2))
        }
        let set = try DataSet.inMemory(name: "one", shape: shape, images: pixels, labels: [0])
        return try #require(try set.samples(.training, count: 1).first).file
    }

    private func pictures(
        training: [String: Int], test: [String: Int]
    ) throws -> String {
        var salt = 0
        for (folder, counts) in [("train", training), ("test", test)] {
            for (name, count) in counts.sorted(by: { $0.key < $1.key }) {
                for number in 0..<count {
                    try directory.write(try picture(salt), "set/\(folder)/\(name)/\(number).png")
                    salt += 1
                }
            }
        }
        return "images:\(directory.path)/set"
    }

    private func specification(
        _ text: String, _ change: (inout SourceOptions) -> Void = { _ in }
    ) throws -> DataSpecification {
        var options = SourceOptions()
        change(&options)
        return try DataSpecification(text, options: options)
    }

    private var cache: DataCache { DataCache(directory: "\(directory.path)/cache") }

    private func open(
        _ specification: DataSpecification, partitionCount: Int = 3
    ) throws -> DataSet {
        try DataSet.open(
            specification, partitionCount: partitionCount, importer: DataImport(cache: cache))
    }

    // MARK: Listing

    @Test func recordsAreListedInTheOrderOfTheSource() throws {
        let source = try pictures(training: ["ant": 5, "bee": 4], test: ["ant": 2, "bee": 1])
        let listing = try RecordListing(specification(source))
        let training = (0..<listing.recordCount(.training)).map { listing.record(.training, $0) }
        #expect(
            training.map(\.name)
                == (0..<5).map { "train/ant/\($0).png" } + (0..<4).map { "train/bee/\($0).png" })
        #expect(training.map(\.label) == [0, 0, 0, 0, 0, 1, 1, 1, 1])
        #expect(training.map(\.stored).sorted() == Array(0..<9))
        #expect(training.map(\.stored) != Array(0..<9), "training records are spread")
        #expect(training.map { listing.name(.training, stored: $0.stored) } == training.map(\.name))
        let test = (0..<listing.recordCount(.test)).map { listing.record(.test, $0) }
        #expect(test.map(\.name) == ["test/ant/0.png", "test/ant/1.png", "test/bee/0.png"])
        #expect(test.map(\.stored) == [0, 1, 2])
        #expect(listing.name(.test, stored: 3) == nil)
        #expect(listing.className(1) == "bee")

        // The record with that number is that picture.
        let set = try open(specification(source))
        for record in training {
            let salt =
                Int(record.name.split(separator: "/").last!.prefix(1))!
                + (record.label == 1 ? 5 : 0)
            let one = try set.stored(.training, range: record.stored..<record.stored + 1)
            #expect(one.labels == [record.label])
            let alone = try DataSet.inMemory(
                name: "one", shape: [3, 6, 8], images: one.images, labels: [0])
            #expect(try alone.samples(.training, count: 1)[0].file == picture(salt))
        }
    }

    @Test func recordsThatAreLeftOutHaveNoNumber() throws {
        let source = try pictures(training: ["ant": 5, "bee": 4], test: ["ant": 3])
        for name in ["train/ant/2.png", "test/ant/0.png"] {
            try directory.write(Array(try picture(1).prefix(50)), "set/\(name)")
        }
        let chosen = try specification(source) { $0.image.badRecords = .skip(count: 2) }
        let set = try open(chosen)
        let path = try #require(try DataImport(cache: cache).find(chosen, partitionCount: 3))
        let facts = try #require(DataImport.facts(path))
        #expect(facts.skipped.keys.sorted() == ["test/ant/0.png", "train/ant/2.png"])
        let listing = try RecordListing(chosen, skipped: Set(facts.skipped.keys))
        #expect(listing.recordCount(.training) == 8 && listing.recordCount(.test) == 2)
        #expect(listing.record(.test, 0).name == "test/ant/1.png")
        #expect(listing.record(.training, 2).name == "train/ant/3.png")
        for number in 0..<8 {
            let record = listing.record(.training, number)
            let labels = try set.stored(
                .training, range: record.stored..<record.stored + 1
            ).labels
            #expect(labels == [record.label])
        }
        let report = try DataSetReport(set, listing: listing, facts: facts)
        #expect(report.corrupt.map(\.name) == ["test/ant/0.png", "train/ant/2.png"])
        #expect(report.corrupt.allSatisfy { $0.reason.contains($0.name) }, "\(report.corrupt)")
    }

    @Test func aPartitionedDirectoryIsListedByNumber() throws {
        let set = try open(
            specification(pictures(training: ["ant": 5, "bee": 4], test: ["bee": 2])))
        let output = "\(directory.path)/parts"
        try PartitionWriter.write(set, partitionCount: 2, directory: output)
        let listing = try RecordListing(specification("partitions:\(output)"))
        #expect(listing.recordCount(.training) == 9)
        let record = listing.record(.training, 7)
        #expect(record.name == "training#7" && record.stored == 7)
        #expect(listing.classNames == ["ant", "bee"])
        #expect(
            (0..<9).map { listing.record(.training, $0).label }
                == (try set.stored(.training, range: 0..<9)).labels)
        let lineage = try DataLineage(
            specification("partitions:\(output)"), partitionCount: 8, partition: 1)
        #expect(lineage.training == [4, 5] && lineage.test == [2], "\(lineage)")
        #expect(lineage.steps.isEmpty)
        #expect(lineage.piece?.files.map(\.name) == ["training-00001.safetensors"])
        #expect(lineage.piece?.sha256?.count == 64)
    }

    // MARK: Lineage

    @Test func aLineageCountsTheRecordsBehindEachStep() throws {
        let source = try pictures(
            training: ["ant": 20, "bee": 20, "wasp": 3], test: [:])
        let chosen = try specification(source) {
            $0.labels.map = ["bee": "stinging", "wasp": "stinging"]
            $0.filter.isUnique = true
            $0.split = SplitRule(test: 0.25, by: .stratified)
            $0.sample = 0.5
        }
        let lineage = try DataLineage(
            chosen, partitionCount: 4,
            transformations: [
                .randomHorizontalFlip, .standardize(mean: [0, 0, 0], deviation: [1, 1, 1]),
            ],
            partition: 1, cache: cache)
        #expect(
            lineage.steps.map(\.step) == [
                "transformation", "transformation", "spread", "sample", "split", "filter", "labels",
            ])
        let counts = Dictionary(
            uniqueKeysWithValues: lineage.steps.dropFirst(3).map { ($0.step, $0) })
        #expect(counts["labels"]?.training == 43 && counts["labels"]?.test == 0)
        #expect(counts["labels"]?.detail == "bee becomes stinging, wasp becomes stinging")
        let unique = try #require(counts["filter"]?.training)
        let split = try #require(counts["split"])
        #expect(split.training! + split.test! == unique)
        #expect(lineage.training.reduce(0, +) == counts["sample"]?.training)
        #expect(lineage.training.count == 4 && lineage.inputs.count == 1)
        #expect(lineage.inputs[0].files == 43 && lineage.inputs[0].bytes! > 43 * 50)
        let piece = try #require(lineage.piece)
        #expect(piece.records == lineage.training[1] && piece.fileCount == piece.records)
        #expect(piece.classes.values.reduce(0, +) == piece.records)
        #expect(piece.files.allSatisfy { $0.name.hasPrefix("train/") })

        // It is that of the set.
        let set = try open(chosen, partitionCount: 4)
        #expect(set.partitions.map(\.recordCount) == lineage.training)
        #expect(set.description.testCount == split.test)
        #expect(throws: DataError.self) {
            try DataLineage(chosen, partitionCount: 4, partition: 4)
        }
    }

    @Test func aUnionHasSeveralInputs() throws {
        let one = try pictures(training: ["ant": 5, "bee": 4], test: ["bee": 1])
        let chosen = try specification("union") {
            $0.union = [
                UnionMember(try! DataSpecification(one)),
                UnionMember(
                    try! DataSpecification("images:\(directory.path)/set/train"), weight: 2),
            ]
        }
        let lineage = try DataLineage(chosen, partitionCount: 2)
        #expect(
            lineage.inputs.map(\.training) == [9, 9] && lineage.inputs.map(\.weight) == [1, 2])
        #expect(lineage.steps.map(\.step) == ["spread", "union"])
        #expect(lineage.training == [13, 14] && lineage.test == [1])
    }

    // MARK: Report

    private func set(
        _ records: [[UInt8]], _ labels: [Int32], partitionCount: Int = 1
    ) throws -> DataSet {
        try DataSet.inMemory(
            name: "small", shape: [2, 1, records[0].count / 2], images: Array(records.joined()),
            labels: labels, partitionCount: partitionCount)
    }

    @Test func aReportCountsClassesAndCopies() throws {
        let report = try DataSetReport(
            set(
                [
                    [1, 2, 3, 4], [5, 6, 7, 8], [1, 2, 3, 4], [1, 2, 3, 4], [5, 6, 7, 8],
                    [0, 0, 9, 9],
                ],
                [0, 1, 0, 0, 0, 0], partitionCount: 2), virtualWorkers: 8, batchSize: 64)
        #expect(report.training.records == 6 && report.test.records == 0)
        #expect(report.training.classes.map(\.records) == [5, 1])
        #expect(report.training.classes.map(\.partitions) == [2, 1])
        #expect(report.training.imbalance == 5 && report.test.imbalance == nil)
        #expect(report.copies.training == 3 && report.copies.across == 0)
        #expect(report.copies.conflicts == 1)
        // Those with different labels come first.
        #expect(report.copies.examples.map { $0.map(\.record) } == [[1, 4], [0, 2, 3]])
        #expect(report.copies.examples[0].map(\.label) == [1, 0])
        #expect(report.training.bytes == 6 * (4 + 4))
        for text in [
            "no test records", "8 virtual workers", "different labels", "copies of others",
        ] {
            #expect(report.warnings.contains { $0.contains(text) }, "\(report.warnings)")
        }
    }

    @Test func copiesAcrossTheSplitsAreNamed() throws {
        let source = try pictures(training: ["ant": 5, "bee": 4], test: ["ant": 2, "bee": 1])
        try directory.write(try picture(6), "set/test/ant/copy.png")
        let chosen = try specification(source)
        let set = try open(chosen)
        let listing = try RecordListing(chosen)
        let report = try DataSetReport(set, listing: listing)
        #expect(
            report.copies.across == 1 && report.copies.training == 0 && report.copies.conflicts == 1
        )
        #expect(
            report.copies.examples.map { $0.map(\.name) } == [
                ["train/bee/1.png", "test/ant/copy.png"]
            ])
        #expect(report.sizes?.count == 1 && report.sizes?.usual == RecordSize(height: 6, width: 8))
        #expect(report.sizes?.usualCount == 13)
        #expect(report.warnings.contains { $0.contains("copies of training records: 1") })
    }

    @Test func classesThatAreMissingAreNamed() throws {
        let source = try pictures(
            training: ["ant": 30, "bee": 3, "wasp": 2], test: ["ant": 2, "bee": 1])
        let report = try DataSetReport(open(specification(source)))
        #expect(report.warnings.contains { $0.contains("'wasp'") && $0.contains("not evaluated") })
        #expect(report.warnings.contains { $0.contains("15 times") })
        // Records in the order of their classes, as they must not be.
        let sorted = try DataSetReport(
            set(
                (0..<80).map { [UInt8($0), 1, 2, 3] }, (0..<80).map { Int32($0 / 40) },
                partitionCount: 8))
        #expect(
            sorted.warnings.contains { $0.contains("of the 8 partitions") } == false,
            "half of the partitions is as many as may be: \(sorted.warnings)")
        let pure = try DataSetReport(
            set(
                (0..<80).map { [UInt8($0), 1, 2, 3] }, (0..<80).map { Int32($0 / 10) },
                partitionCount: 8))
        #expect(pure.warnings.contains { $0.contains("8 classes") && $0.contains("few classes") })
    }

    @Test func statisticsOfBytesAreThoseOfTraining() throws {
        let records = (0..<50).map { record in (0..<12).map { UInt8(($0 * 37 + record * 11) % 256) }
        }
        let set = try set(records, [Int32](repeating: 0, count: 50))
        let report = try DataSetReport(set)
        #expect(report.channels.count == 2)
        let seen = try set.gather(.training, records: Array(0..<50)).images
        for channel in 0..<2 {
            var values: [Double] = []
            for record in 0..<50 {
                let start = record * 12 + channel * 6
                values += seen[start..<start + 6].map(Double.init)
            }
            let (mean, deviation) = moments(values)
            #expect(abs(report.channels[channel].mean - mean) < 1e-12)
            #expect(abs(report.channels[channel].std - deviation) < 1e-12)
        }
        #expect(report.normalizeLine.hasPrefix("- normalize: {mean: ["))
        #expect(try DataSetReport(set, threadCount: 1).jsonText == report.jsonText)
    }

    @Test func statisticsOfFloats() throws {
        var table = "a,b,label\n"
        for row in 0..<300 {
            table += "\(1_000_000 + row % 7),\(Double(row % 11) / 8),\(row % 3)\n"
        }
        let path = try directory.write(table, "table.csv")
        let set = try open(specification("csv:\(path)"))
        let one = try DataSetReport(set, threadCount: 1)
        let several = try DataSetReport(set, threadCount: 3)
        #expect(one.jsonText == several.jsonText)
        let first = moments((0..<300).map { Double(1_000_000 + $0 % 7) })
        let second = moments((0..<300).map { Double($0 % 11) / 8 })
        #expect(abs(one.channels[0].mean - first.mean) < 1e-6)
        #expect(abs(one.channels[0].std - first.deviation) < 1e-6, "no digits cancel out")
        #expect(abs(one.channels[1].mean - second.mean) < 1e-12)
        #expect(abs(one.channels[1].std - second.deviation) < 1e-12)
    }

    private func moments(_ values: [Double]) -> (mean: Double, deviation: Double) {
        let count = Double(values.count)
        let mean = values.reduce(0, +) / count
        var squares = 0.0
        for value in values { squares += (value - mean) * (value - mean) }
        return (mean, (squares / count).squareRoot())
    }

    // MARK: Pictures

    @Test func aContactSheetHasARowForEachClass() throws {
        let source = try pictures(training: ["ant": 12, "bee": 3], test: [:])
        let set = try open(specification(source))
        let sheet = try ContactSheet(set)
        #expect(sheet.rows.map(\.name) == ["ant", "bee"])
        #expect(sheet.rows.map(\.records.count) == [8, 3])
        let labels = try set.stored(.training, range: 0..<15).labels
        for row in sheet.rows { #expect(row.records.allSatisfy { Int(labels[$0]) == row.label }) }
        #expect(try ContactSheet(set).png == sheet.png)
        // 8 pictures of 96 x 72 with 2 pixels between them, in two rows.
        let sides = sheet.png[16..<24].map(Int.init)
        #expect(sides[2] << 8 | sides[3] == 8 * 98 + 2 && sides[6] << 8 | sides[7] == 2 * 74 + 2)
    }

    @Test func samplesHaveFiguresAndFiles() throws {
        let set = try DataSet.inMemory(
            name: "grey", shape: [1, 2, 2], images: [0, 10, 20, 30, 255, 255, 255, 255],
            labels: [3, 1])
        let samples = try set.samples(.training, count: 8)
        #expect(samples.map(\.record) == [0, 1] && samples.map(\.label) == [3, 1])
        #expect(samples[0].minimum == 0 && samples[0].mean == 15 && samples[0].maximum == 30)
        #expect(
            samples[0].ending == "png" && samples[0].file.prefix(4) == [0x89, 0x50, 0x4E, 0x47])
        #expect(try set.samples(.test, count: 8).isEmpty)

        let pair = try self.set([[1, 2, 3, 4]], [0])
        let array = try #require(try pair.samples(.training, count: 1).first)
        #expect(array.ending == "npy" && array.file.count == 128 + 4)
        #expect(array.file.suffix(4) == [1, 2, 3, 4])

        // The normalisation at the end does not change the picture.
        let key = AugmentationKey(seed: 1, epoch: 0)
        let flips = try set.samples(
            count: 2, transformations: [.randomHorizontalFlip], augmentation: key)
        let normalized = try set.samples(
            count: 2,
            transformations: [.randomHorizontalFlip, .standardize(mean: [0.5], deviation: [0.25])],
            augmentation: key)
        #expect(flips.map(\.file) == normalized.map(\.file))
        #expect(normalized[1].mean == 2 && flips[1].mean == 1)
        let seen = try set.transformed(by: [.randomHorizontalFlip])
            .gather(.training, records: [0, 1], augmentation: key)
        #expect(flips[0].maximum == Double(seen.images[..<4].max()!))
    }
}
