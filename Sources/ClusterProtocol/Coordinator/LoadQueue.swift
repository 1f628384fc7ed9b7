/// Who gets the next piece of work: whoever would be done with it first, the earlier one of equals.
///
/// A binary heap, so that dealing n pieces to m takers costs (n + m) log m.
struct LoadQueue {
    private struct Entry {
        /// When one more piece would be done.
        var time: Double
        var index: Int

        static func < (left: Self, right: Self) -> Bool {
            (left.time, left.index) < (right.time, right.index)
        }
    }

    /// Pieces of each taker, those it had before included.
    private(set) var counts: [Int]
    private let weights: [Double]
    private var heap: [Entry]

    /// - Parameter takers: what each has already, and how much of the work it should get relative
    ///   to the others; at least one.
    init(_ takers: [(count: Int, weight: Double)]) {
        precondition(!takers.isEmpty, "work for nobody")
        counts = takers.map(\.count)
        weights = takers.map(\.weight)
        heap = takers.enumerated().map { index, taker in
            Entry(time: Double(taker.count + 1) / taker.weight, index: index)
        }
        for parent in (0..<heap.count / 2).reversed() { sink(parent) }
    }

    /// Gives out one piece.
    ///
    /// - Returns: the index of who gets it.
    mutating func take() -> Int {
        let index = heap[0].index
        counts[index] += 1
        heap[0].time = Double(counts[index] + 1) / weights[index]
        sink(0)
        return index
    }

    private mutating func sink(_ start: Int) {
        var parent = start
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < heap.count && heap[child] < heap[least] {
                least = child
            }
            if least == parent { return }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}
