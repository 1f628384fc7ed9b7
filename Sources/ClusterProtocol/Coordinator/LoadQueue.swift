/// Deals pieces of work: each goes to the taker that would be done with it first, and among equals to
/// the first taker.
///
/// The queue is a binary heap, so that dealing n pieces to m takers costs (n + m) log m.
struct LoadQueue {
    private struct Entry {
        /// When the taker would be done with one more piece.
        var time: Double
        var index: Int

        static func < (left: Self, right: Self) -> Bool {
            (left.time, left.index) < (right.time, right.index)
        }
    }

    /// The number of pieces of each taker, including those it had before.
    private(set) var counts: [Int]
    private let weights: [Double]
    private var heap: [Entry]

    /// Creates a queue.
    ///
    /// - Parameter takers: At least one taker: the number of pieces it has already, and its share of
    ///   the work relative to the others.
    init(_ takers: [(count: Int, weight: Double)]) {
        precondition(!takers.isEmpty, "work for nobody")
        counts = takers.map(\.count)
        weights = takers.map(\.weight)
        heap = takers.enumerated().map { index, taker in
            Entry(time: Double(taker.count + 1) / taker.weight, index: index)
        }
        for parent in (0..<heap.count / 2).reversed() { sink(parent) }
    }

    /// Deals one piece.
    ///
    /// - Returns: The index of the taker that gets it.
    mutating func take() -> Int {
        let index = heap[0].index
        counts[index] += 1
        heap[0].time = Double(counts[index] + 1) / weights[index]
        sink(0)
        return index
    }

    /// Moves an entry down the heap until none below it comes first.
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
