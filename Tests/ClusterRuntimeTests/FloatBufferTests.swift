import Buffers
import ClusterRuntime
import Testing
import Threads

@Suite struct FloatBufferTests {
    @Test(arguments: [0, 1, 15, 16, 17, 100_000])
    func memoryIsAlignedAndZero(count: Int) {
        let buffer = FloatBuffer(count: count)
        #expect(buffer.count == count && buffer.bytes.count == count * 4)
        #expect(UInt(bitPattern: buffer.pointer) % 64 == 0)
        #expect(buffer.bytes.allSatisfy { $0 == 0 })
    }

    @Test func copiesGoWhereTheyAreTold() {
        let buffer = FloatBuffer(count: 6)
        [Float](arrayLiteral: 1, 2, 3).withUnsafeBytes { buffer.copy($0, to: 2) }
        #expect((0..<6).map { buffer.pointer[$0] } == [0, 0, 1, 2, 3, 0])
        #expect(Array(buffer.bytes(2..<4)) == [Float(1), 2].withUnsafeBytes { Array($0) })
        buffer.copy(UnsafeRawBufferPointer(start: nil, count: 0), to: 6)
    }

    @Test func aPoolGivesTheSameMemoryAgain() {
        let pool = FloatBufferPool(count: 10, bound: 2)
        var addresses: Set<UInt> = []
        for turn in 0..<50 {
            let buffer = pool.take()
            #expect(buffer.count == 10)
            if turn > 0 { #expect(buffer.pointer[3] == Float(turn)) }
            buffer.pointer[3] = Float(turn + 1)
            addresses.insert(UInt(bitPattern: buffer.pointer))
        }
        #expect(addresses.count == 1)
    }

    @Test func buffersInUseAreDistinct() {
        let pool = FloatBufferPool(count: 4, bound: 3)
        for _ in 0..<20 {
            let buffers = (0..<8).map { _ in pool.take() }
            #expect(Set(buffers.map { UInt(bitPattern: $0.pointer) }).count == 8)
            for (index, buffer) in buffers.enumerated() { buffer.pointer[0] = Float(index) }
            #expect(buffers.map { $0.pointer[0] } == (0..<8).map(Float.init))
        }
    }

    /// A frame may hold a buffer after the pool is gone.
    @Test func aBufferOutlivesItsPool() {
        var pool: FloatBufferPool? = FloatBufferPool(count: 4)
        let buffer = pool?.take()
        pool = nil
        buffer?.pointer[3] = 7
        #expect(buffer?.pointer[3] == 7)
    }

    @Test func manyThreadsShareAPool() {
        let pool = FloatBufferPool(count: 32, bound: 4)
        let wrong = Monitor(0)
        let threads = (0..<6).map { thread in
            WorkThread {
                for turn in 0..<3_000 {
                    let buffer = pool.take()
                    let mark = Float(thread * 10_000 + turn)
                    buffer.pointer[0] = mark
                    buffer.pointer[31] = mark
                    if buffer.pointer[0] != mark || buffer.pointer[31] != mark {
                        wrong.change { $0 += 1 }
                    }
                }
            }
        }
        for thread in threads { thread.join() }
        #expect(wrong.change { $0 } == 0)
    }
}
