import CounterRandom
import Partitions
import TestSupport
import Testing

@Suite struct SeriesTests {
    private func source(
        _ text: String, test: String? = nil, length: Int, stride: Int? = nil,
        _ change: (inout SourceOptions) -> Void = { _ in }
    ) throws -> ScannedSource {
        let directory = try TemporaryDirectory()
        try directory.write(text, "train.csv")
        if let test { try directory.write(test, "test.csv") }
        let source = try ScannedSource("csv:\(directory.path)") {
            $0.series = SeriesOptions(length: length, stride: stride)
            change(&$0)
        }
        withExtendedLifetime(directory) {}
        return source
    }

    /// Windows are those of NumPy's `sliding_window_view(x, length)[::stride]`, which are all
    /// starts from 0 to the last that fits, in steps of the stride.
    @Test func windowsAreThoseOfNumPy() throws {
        var random = RandomStream(seed: 5, purpose: .simulation)
        for _ in 0..<60 {
            let counts = (0..<1 + random.next(below: 4)).map { _ in 1 + random.next(below: 40) }
            let length = 1 + random.next(below: counts.max()!)
            let stride = 1 + random.next(below: 6)
            var text = "id,x,label,y\n"
            var expected: [(name: String, rows: Range<Int>, x: [Float], y: [Float])] = []
            for (series, count) in counts.enumerated() {
                let x = (0..<count).map { Float(series * 1000 + $0) }
                let y = x.map { -$0 / 2 }
                for row in 0..<count { text += "s\(series),\(x[row]),\(row % 3),\(y[row])\n" }
                for start in Swift.stride(from: 0, through: count - length, by: stride) {
                    let rows = start..<start + length
                    expected.append(("s\(series)", rows, Array(x[rows]), Array(y[rows])))
                }
            }
            let source = try source(text, length: length, stride: stride) { $0.series?.by = "id" }
            let table = source.scan.training
            #expect(source.scan.shape == [2, 1, length] && source.scan.elementType == .F32)
            #expect(table.count == expected.count)
            for (record, window) in expected.enumerated() {
                #expect(try source.floats(record) == window.x + window.y)
                #expect(table.group(record) == "train.csv#\(window.name)")
                #expect(table.name(record) == "train.csv#\(window.name)@\(window.rows.lowerBound)")
                #expect(table.interval(record) == window.rows)
                #expect(table.labels[record] == Int32((window.rows.upperBound - 1) % 3))
            }
        }
    }

    @Test func channelsFollowTheColumns() throws {
        let text = "t,a,b,label\n0,1,10,0\n1,2,20,0\n2,3,30,1\n"
        let source = try source(text, length: 3) {
            $0.series?.time = "t"
            $0.table.columns = ["b", "a"]
        }
        #expect(try source.floats(0) == [10, 20, 30, 1, 2, 3])
        #expect(source.scan.training.name(0) == "train.csv#0@0")
    }

    @Test func theLabelIsTheLastOrTheMost() throws {
        let rows = ["b", "b", "a", "a", "c", "c", "a"]
        let text = "x,label\n" + rows.map { "1,\($0)\n" }.joined()
        let last = try source(text, length: 3, stride: 1)
        #expect(last.scan.classNames == ["a", "b", "c"])
        #expect(last.scan.training.labels == [0, 0, 2, 2, 0])
        let most = try source(text, length: 3, stride: 1) { $0.series?.labelAt = .majority }
        #expect(most.scan.training.labels == [1, 0, 0, 2, 2])
        // Of two as frequent labels the smaller one counts.
        let even = try source(text, length: 4, stride: 1) { $0.series?.labelAt = .majority }
        #expect(even.scan.training.labels == [0, 0, 0, 0])
    }

    @Test func gapsEndAStretch() throws {
        let times = [0, 1, 2, 5, 6, 7, 8, 20]
        let text = "t,x,label\n" + times.map { "\($0),\($0),0\n" }.joined()
        let source = try source(text, length: 2, stride: 1) {
            $0.series?.time = "t"
            $0.series?.gap = 1.5
        }
        let windows = try (0..<source.scan.training.count).map { try source.floats($0) }
        #expect(windows == [[0, 1], [1, 2], [5, 6], [6, 7], [7, 8]])
        #expect(source.scan.training.interval(2) == 3..<5)
        #expect(source.scan.remarks.contains { $0.contains("1 stretches are shorter") })
        let free = try self.source(text, length: 2, stride: 1) { $0.series?.time = "t" }
        #expect(free.scan.training.count == 7)
    }

    @Test(arguments: [
        ("0,1,0\n0,2,0\n", "line 3, column 't'"), ("1,1,0\n0,2,0\n", "line 3, column 't'"),
        ("x,1,0\n1,2,0\n", "line 2, column 't'"), ("inf,1,0\n1,2,0\n", "line 2, column 't'"),
        ("0,1,0\n1,2\n", "line 3, fields"),
    ])
    func badTimesAreNamed(rows: String, what: String) throws {
        let error = dataError {
            try source("t,x,label\n\(rows)", length: 2) { $0.series?.time = "t" }
        }
        #expect(error?.kind == .badRecord && error?.what == what)
    }

    @Test func seriesMustNotInterleave() throws {
        let error = dataError {
            try source("id,x,label\na,1,0\nb,1,0\na,2,0\n", length: 1) { $0.series?.by = "id" }
        }
        #expect(error?.what == "line 4, column 'id'" && error?.advice == "sort the rows by series")
    }

    /// Times may begin anew with each series.
    @Test func timesBeginAnew() throws {
        let source = try source(
            "id,t,x,label\na,5,1,0\na,6,2,0\nb,1,3,1\nb,2,4,1\n", length: 2
        ) {
            $0.series?.by = "id"
            $0.series?.time = "t"
        }
        #expect(source.scan.training.labels == [0, 1])
    }

    @Test func windowsWithoutBadRowsAreRead() throws {
        let rows = (0..<9).map { "\($0 == 4 ? "nan" : "\($0)"),0\n" }.joined()
        let source = try source("x,label\n\(rows)", length: 3, stride: 1)
        for record in 0..<7 {
            if (2...4).contains(record) {
                let error = dataError { try source.floats(record) }
                #expect(error?.kind == .badRecord && error?.what == "line 6, column 'x'")
            } else {
                #expect(try source.floats(record) == (record..<record + 3).map { Float($0) })
            }
        }
    }

    @Test func constantColumnsAreRemarked() throws {
        let source = try source("x,y,label\n1,7,0\n2,7,0\n", length: 2)
        #expect(source.scan.remarks.contains { $0.contains("column 'y' is 7.0 in every row") })
    }

    @Test func windowsLongerThanEverySeriesAreAnError() throws {
        let error = dataError { try source("x,label\n1,0\n2,0\n", length: 3) }
        #expect(error?.kind == .emptySet && error?.found == "at most 2 rows without a gap")
    }

    @Test(arguments: [0, -1, 65_536])
    func badLengthsAreRefused(length: Int) throws {
        let error = dataError { try source("x,label\n1,0\n", length: length) }
        #expect(error?.kind == .badSetting)
        #expect(
            dataError { try source("x,label\n1,0\n", length: 1, stride: length == -1 ? 0 : -3) }?
                .kind
                == .badSetting)
    }

    @Test func targetsAreThoseOfTheLastRow() throws {
        let source = try source("x,y\n1,10\n2,20\n3,30\n", length: 2, stride: 1) {
            $0.table.targets = ["y"]
        }
        #expect(source.scan.targetCount == 1 && source.scan.training.targets == [20, 30])
        let error = dataError {
            try self.source("x,y\n1,10\n2,20\n", length: 2) {
                $0.table.targets = ["y"]
                $0.series?.labelAt = .majority
            }
        }
        #expect(error?.kind == .badSetting)
    }

    @Test func aColumnDividesTheSeries() throws {
        let text = "id,x,label,split\na,1,0,train\na,2,0,train\nb,3,1,test\nb,4,1,test\n"
        let source = try source(text, length: 2) { $0.series?.by = "id" }
        #expect(try source.floats(0) == [1, 2] && source.floats(0, .test) == [3, 4])
        let error = dataError {
            try self.source(text + "a,9,0,test\n", length: 2) { $0.series?.by = "id" }
        }
        #expect(error?.what == "line 6, column 'id'")
    }

    @Test func testSeriesLieInAFileOfTheirOwn() throws {
        let text = "x,label\n1,0\n2,0\n"
        let source = try source(text, test: "x,label\n5,1\n6,1\n7,1\n", length: 2, stride: 1)
        #expect(source.scan.test.count == 2 && source.scan.test.name(1) == "test.csv#0@1")
        #expect(try source.floats(1, .test) == [6, 7])
        #expect(try self.source(text, test: "x,label\n5,1\n", length: 2).scan.test.count == 0)
    }
}
