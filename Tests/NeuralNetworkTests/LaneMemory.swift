import Testing

/// Calls a closure with copies of arrays at addresses that are multiples of 64 bytes, as kernels on
/// lane tensors want them, and returns what the copies hold afterwards. What a kernel writes behind
/// a copy is reported.
func inLaneMemory(
    _ arrays: [[Float]], sourceLocation: SourceLocation = #_sourceLocation,
    _ body: ([UnsafeMutablePointer<Float>]) -> Void
) -> [[Float]] {
    let guardCount = 16
    let mark: Float = -1234.5
    let copies = arrays.map { values in
        let raw = UnsafeMutableRawPointer.allocate(
            byteCount: (values.count + guardCount) * 4, alignment: 64)
        let floats = raw.bindMemory(to: Float.self, capacity: values.count + guardCount)
        for (index, value) in values.enumerated() { floats[index] = value }
        for index in values.count..<values.count + guardCount { floats[index] = mark }
        return floats
    }
    defer { for copy in copies { copy.deallocate() } }
    body(copies)
    return zip(arrays, copies).enumerated().map { number, pair in
        let (values, copy) = pair
        for index in values.count..<values.count + guardCount where copy[index] != mark {
            Issue.record("array \(number) was written at \(index)", sourceLocation: sourceLocation)
        }
        return Array(UnsafeBufferPointer(start: copy, count: values.count))
    }
}

/// Returns NaNs, for memory that a kernel must write.
func unwritten(_ count: Int) -> [Float] { [Float](repeating: .nan, count: count) }

/// Adds the bits of numbers to a hash.
func hashBits(_ values: [Float], into hash: inout UInt64) {
    for value in values { hash = hash &* 31 &+ UInt64(value.bitPattern) }
}

/// Adds the bits of numbers to a hash.
func hashBits(_ values: [Double], into hash: inout UInt64) {
    for value in values { hash = hash &* 31 &+ value.bitPattern }
}
