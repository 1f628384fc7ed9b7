import FoundationEssentials
import Partitions
import TestSupport
import Testing

/// EMNIST's names of IDX files.
@Suite struct EMNISTTests {
    private func write(
        _ set: String, to directory: TemporaryDirectory, firstLabel: UInt8 = 0, test: Bool = true,
        compressing: Bool = false
    ) throws {
        let sample = IDXSample()
        for (split, count) in [("train", 23), ("test", 7)] where split == "train" || test {
            let labels = sample.labels(count)
            let shifted = Array(labels.prefix(8)) + labels.dropFirst(8).map { $0 + firstLabel }
            for (kind, rank, bytes) in [
                ("images", 3, sample.images(count)), ("labels", 1, shifted),
            ] {
                let name = "emnist-\(set)-\(split)-\(kind)-idx\(rank)-ubyte"
                try directory.write(
                    compressing ? gzipped(bytes) : bytes, compressing ? name + ".gz" : name)
            }
        }
    }

    @Test(arguments: [
        ("balanced", 47), ("byclass", 62), ("bymerge", 47), ("digits", 10), ("letters", 26),
        ("mnist", 10),
    ])
    func setsAreRead(set: String, classCount: Int) throws {
        let directory = try TemporaryDirectory()
        try write(set, to: directory, compressing: set == "digits")
        let source = try ScannedSource("idx:\(directory.path)")
        #expect(source.scan.classCount == classCount)
        #expect(source.scan.training.count == 23 && source.scan.test.count == 7)
        #expect(source.scan.training.labels == (0..<23).map { Int32(IDXSample().label($0)) })
        #expect(source.scan.remarks.isEmpty)
    }

    @Test(arguments: [true, false])
    func lettersCountFromOne(test: Bool) throws {
        let directory = try TemporaryDirectory()
        try write("letters", to: directory, firstLabel: 1, test: test, compressing: true)
        let source = try ScannedSource("idx:\(directory.path)")
        #expect(source.scan.training.labels == (0..<23).map { Int32(IDXSample().label($0)) })
        #expect(source.scan.classNames?.first == "A" && source.scan.classNames?.last == "Z")
        #expect(source.scan.remarks.count == 1)
        #expect(source.scan.test.count == (test ? 7 : 0))
    }

    @Test func otherSetsKeepTheirLabels() throws {
        let directory = try TemporaryDirectory()
        try write("digits", to: directory, firstLabel: 1)
        let source = try ScannedSource("idx:\(directory.path)")
        #expect(source.scan.training.labels[0] == Int32(IDXSample().label(0)) + 1)
    }

    @Test func severalSetsAreNamed() throws {
        let directory = try TemporaryDirectory()
        try write("letters", to: directory)
        try write("digits", to: directory)
        let error = dataError { try ScannedSource("idx:\(directory.path)") }
        #expect(error?.kind == .unreadable && error?.found == "2: digits, letters")
        #expect(error?.advice == "give a directory with the files of one set")
    }
}
