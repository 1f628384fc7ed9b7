/// A queue of future events, ordered by time and, at equal times, by order of insertion.
///
/// The heap moves small entries only. The elements stay at the index where they were stored.
struct EventQueue<Element> {
    private struct Entry {
        var time: Duration
        var number: Int
        var place: Int

        func precedes(_ other: Entry) -> Bool {
            time == other.time ? number < other.number : time < other.time
        }
    }

    private var heap: [Entry] = []
    private var elements: [Element?] = []
    private var freePlaces: [Int] = []
    private var nextNumber = 0

    var isEmpty: Bool { heap.isEmpty }

    mutating func insert(_ element: Element, at time: Duration) {
        let place: Int
        if let free = freePlaces.popLast() {
            place = free
            elements[place] = element
        } else {
            place = elements.count
            elements.append(element)
        }
        heap.append(Entry(time: time, number: nextNumber, place: place))
        nextNumber += 1
        var child = heap.count - 1
        while child > 0, heap[child].precedes(heap[(child - 1) / 2]) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func popFirst() -> (time: Duration, element: Element)? {
        guard let first = heap.first, let element = elements[first.place] else { return nil }
        elements[first.place] = nil
        freePlaces.append(first.place)
        let last = heap.removeLast()
        if !heap.isEmpty {
            heap[0] = last
            sink()
        }
        return (first.time, element)
    }

    /// Moves the first entry down to its position.
    private mutating func sink() {
        var parent = 0
        while true {
            var least = parent
            let (left, right) = (2 * parent + 1, 2 * parent + 2)
            if left < heap.count, heap[left].precedes(heap[least]) { least = left }
            if right < heap.count, heap[right].precedes(heap[least]) { least = right }
            if least == parent { return }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}
