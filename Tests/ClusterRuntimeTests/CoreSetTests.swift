import ClusterProtocol
import ClusterRuntime
import Testing

/// The cores that workers are bound to.
@Suite struct CoreSetTests {
    @Test(arguments: [
        ("0", [0]), ("0-3,8", [0, 1, 2, 3, 8]), ("8,0-1,1", [0, 1, 8]), ("5-5", [5]), ("8191", [8191]),
    ])
    func lists(text: String, cores: [Int]) throws {
        let set = try CoreSet(text, flag: "--cores")
        #expect(set.cores == cores)
        #expect(try CoreSet("\(set)", flag: "--cores") == set)
    }

    @Test(arguments: ["", ",", "a", "1-", "-1", "3-1", "1-2-3", "0,", "8192", "0-99999999999", " 1"])
    func otherTexts(text: String) throws {
        let error = #expect(throws: RunError.self) { try CoreSet(text, flag: "--cores") }
        #expect(error?.kind == .usage)
        #expect(error?.text.hasPrefix("--cores: expected numbers of cores such as 0-3,8") == true)
    }

    @Test func partsAreNeighboursAndHoldEverything() throws {
        for count in 1...9 {
            let set = try CoreSet("2-\(count + 1)", flag: "--cores")
            for parts in 1...count {
                let found = set.parts(parts)
                #expect(found.count == parts && found.flatMap(\.cores) == set.cores)
                let sizes = found.map(\.cores.count)
                #expect(sizes.max()! - sizes.min()! <= 1)
            }
            #expect(set.parts(count + 1).isEmpty && set.parts(0).isEmpty)
        }
    }

    @Test func thisProcessRunsSomewhere() {
        #expect(!CoreSet.allowed.cores.isEmpty)
    }
}
