/// The memory in which the images of a microbatch are transformed.
///
/// Safety: the pointers are valid from `init` to `deinit`, and one thread at a time uses a scratch:
/// the owner of the microbatch that it belongs to.
final class TransformationScratch: @unchecked Sendable {
    /// A record of the microbatch, for the search of partners.
    struct Place {
        var record: UInt64
        var position: Int
    }

    /// The pipeline that it has room for.
    let pipeline: TransformationPipeline
    /// The number of records that it has room for.
    let capacity: Int
    /// Two images of bytes.
    let bytes: UnsafeMutablePointer<UInt8>
    /// Two images of floats.
    let floats: UnsafeMutablePointer<Float>
    /// What resizes images.
    let resizer = PictureResizer()
    /// The images of all records as they are where records are mixed; bytes or floats.
    let staged: UnsafeMutableRawPointer
    /// The records in ascending order.
    let places: UnsafeMutablePointer<Place>

    init(_ pipeline: TransformationPipeline, capacity: Int) {
        self.pipeline = pipeline
        self.capacity = capacity
        bytes = .allocate(capacity: max(1, 2 * pipeline.byteCapacity))
        bytes.initialize(repeating: 0, count: 2 * pipeline.byteCapacity)
        floats = .allocate(capacity: max(1, 2 * pipeline.floatCapacity))
        floats.initialize(repeating: 0, count: 2 * pipeline.floatCapacity)
        let isMixing = pipeline.mixingStep != nil
        staged = .allocate(
            byteCount: isMixing ? max(1, capacity * pipeline.mixingByteCount) : 1, alignment: 64)
        places = .allocate(capacity: isMixing ? max(1, capacity) : 1)
        if isMixing {
            places.initialize(repeating: Place(record: 0, position: 0), count: capacity)
        }
    }

    deinit {
        bytes.deallocate()
        floats.deallocate()
        staged.deallocate()
        places.deallocate()
    }

    /// Puts the microbatch's records in ascending order into `places`; equal records stay in their
    /// order.
    func order(_ records: UnsafeBufferPointer<UInt64>) {
        let count = records.count
        for position in 0..<count {
            places[position] = Place(record: records[position], position: position)
        }
        // Heapsort, because it needs no memory.
        for root in stride(from: count / 2 - 1, through: 0, by: -1) { sink(root, below: count) }
        for end in stride(from: count - 1, to: 0, by: -1) {
            (places[0], places[end]) = (places[end], places[0])
            sink(0, below: end)
        }
    }

    /// Restores the heap below `root`.
    private func sink(_ start: Int, below count: Int) {
        func isLess(_ a: Int, _ b: Int) -> Bool {
            (places[a].record, places[a].position) < (places[b].record, places[b].position)
        }
        var root = start
        while 2 * root + 1 < count {
            var child = 2 * root + 1
            if child + 1 < count && isLess(child, child + 1) { child += 1 }
            guard isLess(root, child) else { return }
            (places[root], places[child]) = (places[child], places[root])
            root = child
        }
    }
}
