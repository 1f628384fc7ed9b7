import ClusterProtocol
import FoundationEssentials
import Testing

@Suite struct WholeNumberTests {
    private func check<Number: WholeNumber>(_ type: Number.Type, limit: Int) throws {
        #expect(Number.decodingLimit == limit)
        for value in [0, 1, limit - 1] {
            let json = try JSONEncoder().encode([Number(value)])
            #expect(String(decoding: json, as: UTF8.self) == "[\(value)]")
            #expect(try JSONDecoder().decode([Number].self, from: json) == [Number(value)])
        }
        for text in ["[-1]", "[\(limit)]", "[\(Int.max)]", "[1.5]", "[\"1\"]", "[{\"value\":1}]"] {
            #expect(throws: DecodingError.self) {
                try JSONDecoder().decode([Number].self, from: Data(text.utf8))
            }
        }
    }

    @Test func theirJSONIsThePlainNumber() throws {
        try check(Generation.self, limit: 1 << 48)
        try check(Step.self, limit: 1 << 48)
        try check(VirtualWorkerIndex.self, limit: 1 << 16)
        try check(ShardIndex.self, limit: 1 << 16)
        try check(ChunkIndex.self, limit: 1 << 32)
        try check(Placement.self, limit: 1 << 32)
        try check(EvaluationChunkIndex.self, limit: 1 << 48)
    }

    @Test func theyAreComparedWithoutOverflow() {
        let (least, most) = (Step(.min), Step(.max))
        #expect(least < most && least != most && !(most < least) && most == Step(.max))
        #expect(Set([least, most, least]).count == 2)
    }

    @Test func rangesOfThemCanBeIterated() {
        let range = ChunkIndex(2)..<ChunkIndex(5)
        #expect(range.map(\.value) == [2, 3, 4] && range.count == 3)
        #expect(ChunkIndex(2).next == ChunkIndex(3))
        #expect("\(Array(range)) \(range)" == "[2, 3, 4] 2..<5")
    }
}
