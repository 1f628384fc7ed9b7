import CLinux
import Synchronization
import Threads

/// Work that several threads share.
enum Parallel {
    /// The number of processors that this process may use.
    static var processorCount: Int {
        var words = [UInt64](repeating: 0, count: 128)
        guard convoy_get_cores(&words, Int32(words.count * 8)) > 0 else { return 1 }
        let count = words.reduce(0) { $0 + $1.nonzeroBitCount }
        return max(1, count)
    }

    /// Runs a body on several threads and waits for all of them.
    ///
    /// - Parameters:
    ///   - threadCount: the number of threads, of which the calling thread is one.
    ///   - body: called once on each thread.
    static func run(_ threadCount: Int, _ body: @escaping @Sendable () -> Void) {
        let others = (1..<max(1, threadCount)).map { _ in WorkThread(name: "import", body) }
        body()
        for thread in others { thread.join() }
    }

    /// Calls `body` for each index, on several threads, in blocks of neighbouring indices.
    ///
    /// - Parameters:
    ///   - count: the indices are 0 to `count` - 1.
    ///   - make: makes the memory of a thread.
    ///   - body: is called with the memory and an index.
    /// - Returns: the result of each index.
    /// - Throws: the error of the lowest index that fails.
    static func map<Memory, Value: Sendable>(
        _ count: Int, threadCount: Int, _ make: @escaping @Sendable () -> Memory,
        _ body: @escaping @Sendable (inout Memory, Int) throws(DataError) -> Value
    ) throws(DataError) -> [Value] {
        let blockSize = 64
        let next = Atomic(0)
        let failure = Mutex<(index: Int, error: DataError)?>(nil)
        let results = Mutex<[Int: [Value]]>([:])
        run(min(threadCount, max(1, count / blockSize))) {
            var memory = make()
            while true {
                let start = next.wrappingAdd(blockSize, ordering: .relaxed).oldValue
                guard start < count, failure.withLock({ $0 == nil }) else { return }
                var values: [Value] = []
                for index in start..<min(count, start + blockSize) {
                    do throws(DataError) { values.append(try body(&memory, index)) } catch {
                        failure.withLock { known in
                            if known.map({ index < $0.index }) ?? true { known = (index, error) }
                        }
                        return
                    }
                }
                results.withLock { $0[start] = values }
            }
        }
        if let failure = failure.withLock({ $0 }) { throw failure.error }
        return results.withLock { results in
            results.sorted { $0.key < $1.key }.flatMap(\.value)
        }
    }
}
