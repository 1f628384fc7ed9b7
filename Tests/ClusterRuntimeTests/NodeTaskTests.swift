import Buffers
import ClusterProtocol
import ClusterRuntime
import CounterRandom
import TestSupport
import Testing

/// Sums of a worker's own virtual workers, handed over chunk by chunk from the last.
@Suite struct NodeTaskTests {
    private static let starts = [0, 10, 25, 32]
    private static let count = 32

    private static func sum(of leaf: Int) -> FloatBuffer {
        var random = RandomStream(seed: UInt64(leaf), purpose: .simulation)
        let buffer = FloatBuffer(count: count)
        for index in 0..<count { buffer.pointer[index] = random.nextUniform() * 3 - 1 }
        return buffer
    }

    private static func totals(_ leaf: Int) -> ContributionTotals {
        ContributionTotals(
            sampleCount: leaf + 1, lossSum: Double(leaf) / 3, correctCount: leaf,
            recordDigest: UInt64(leaf))
    }

    private static func task(
        _ leafCount: Int, _ node: TreeNode, _ precision: WirePrecision = .fp32
    ) -> NodeTask {
        NodeTask(
            step: Step(3), node: node, tree: ReductionTree(leafCount: leafCount), chunks: starts,
            precision: precision, weights: FloatBuffer(count: count))
    }

    /// The chunks of a sum as they travel.
    private static func packed(_ sum: FloatBuffer, _ precision: WirePrecision) -> [[UInt8]] {
        zip(starts, starts.dropFirst()).map { Array(sum.bytes($0..<$1, precision)) }
    }

    @Test func aSingleLeafIsGivenOutAsItBecomesFinal() throws {
        let task = Self.task(2, .leaf(1))
        let sum = Self.sum(of: 1)
        func part(_ element: Int) -> NodeTask.Part? {
            task.add(
                virtualWorker: VirtualWorkerIndex(1), sum: sum, totals: Self.totals(1),
                finalFrom: element)
        }
        func add(_ element: Int) -> [Int]? { part(element)?.chunks.map(\.value) }
        // No chunk begins at this element or after it.
        #expect(add(30) == nil)
        #expect(add(25) == [2])
        #expect(add(25) == nil)
        #expect(add(24) == nil)
        #expect(add(11) == nil)
        let last = try #require(part(0))
        #expect(last.chunks.map(\.value) == [0, 1] && last.isLast)
        #expect(last.totals == Self.totals(1))
        #expect(last.sum === sum)
        #expect(add(0) == nil)
    }

    /// Each leaf is rounded before it is added, and so is their sum.
    @Test func everyNodeIsRounded() throws {
        let task = Self.task(2, ReductionTree(leafCount: 2).root, .bf16)
        var part: NodeTask.Part?
        for leaf in 0..<2 {
            let sum = FloatBuffer(count: Self.count)
            // 1 + 2^-8 is halfway between 1 and 1 + 2^-7: two leaves of it make 2, not 2 + 2^-7.
            for index in 0..<Self.count { sum.pointer[index] = 1 + 0x1p-8 }
            part = task.add(
                virtualWorker: VirtualWorkerIndex(leaf), sum: sum, totals: Self.totals(leaf),
                finalFrom: 0)
        }
        let chunks = Self.packed(try #require(part).sum, .bf16)
        let two: [UInt8] = [0x00, 0x40]
        #expect(chunks == [10, 15, 7].map { (0..<$0).flatMap { _ in two } })
    }

    /// In any order of arrival, the bits are those of whole leaves added along the tree.
    @Test(arguments: 1...40, WirePrecision.allCases)
    func anyOrderGivesTheSameBits(_ seed: Int, _ precision: WirePrecision) throws {
        let leafCount = 4
        let tree = ReductionTree(leafCount: leafCount)
        let whole = Self.task(leafCount, tree.root, precision)
        var expected: NodeTask.Part?
        for leaf in 0..<leafCount {
            expected = whole.add(
                virtualWorker: VirtualWorkerIndex(leaf), sum: Self.sum(of: leaf),
                totals: Self.totals(leaf), finalFrom: 0)
        }
        let reference = try #require(expected)

        var random = RandomStream(seed: UInt64(seed), purpose: .simulation)
        let task = Self.task(leafCount, tree.root, precision)
        let sums = (0..<leafCount).map(Self.sum)
        var levels = Array(repeating: Self.count, count: leafCount)
        var given: [Int] = []
        var last: NodeTask.Part?
        while levels.contains(where: { $0 > 0 }) {
            let leaf = random.next(below: leafCount)
            guard levels[leaf] > 0 else { continue }
            levels[leaf] = random.next(below: levels[leaf])
            let part = task.add(
                virtualWorker: VirtualWorkerIndex(leaf), sum: sums[leaf], totals: Self.totals(leaf),
                finalFrom: levels[leaf])
            guard let part else { continue }
            given += part.chunks.reversed().map(\.value)
            last = part
            #expect(part.totals == reference.totals)
        }
        #expect(given == [2, 1, 0])
        let found = try #require(last)
        #expect(found.isLast)
        #expect(Self.packed(found.sum, precision) == Self.packed(reference.sum, precision))
    }
}
