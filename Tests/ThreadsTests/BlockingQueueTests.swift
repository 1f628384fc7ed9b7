import Synchronization
import Testing
import Threads

@Suite(.timeLimit(.minutes(1))) struct BlockingQueueTests {
    /// Closes a queue and returns the elements left in it, in order.
    private func drain(_ queue: BlockingQueue<Int>) -> [Int] {
        queue.close()
        var found: [Int] = []
        while let element = queue.pop() { found.append(element) }
        return found
    }

    @Test func elementsComeInOrder() {
        let queue = BlockingQueue<Int>(bound: 10)
        for element in 0..<5 { #expect(queue.push(element)) }
        #expect(queue.pop() == 0)
        #expect(queue.pop() == 1)
        #expect(queue.push(5))
        #expect(drain(queue) == [2, 3, 4, 5])
    }

    @Test func theBoundCountsWhatIsWaiting() {
        let queue = BlockingQueue<Int>(bound: 3)
        for element in 0..<3 { #expect(queue.push(element)) }
        #expect(!queue.push(3))
        #expect(queue.pop() == 0)
        #expect(queue.push(4))
        #expect(!queue.push(5))
        #expect(drain(queue) == [1, 2, 4])
    }

    @Test func aQueueWithoutRoomTakesNothing() {
        let queue = BlockingQueue<Int>(bound: 0)
        #expect(!queue.push(1))
        #expect(drain(queue) == [])
    }

    /// While `pop` looks for an element it calls `meanwhile`, even when it is going to sleep; when
    /// it finds one at once it does not.
    @Test(arguments: [Duration.zero, .seconds(20)])
    func somethingToDoMeanwhile(_ limit: Duration) {
        let queue = BlockingQueue<Int>(bound: 3)
        var vigil = Vigil(limit: limit)
        queue.push(1)
        #expect(queue.pop(&vigil, meanwhile: { Issue.record("there is an element") }) == 1)
        let isLooking = Monitor(false)
        let other = WorkThread {
            _ = isLooking.wait { $0 ? true : nil }
            queue.push(2)
        }
        var count = 0
        let found = queue.pop(
            &vigil,
            meanwhile: {
                count += 1
                if count == 1 { isLooking.change { $0 = true } }
            })
        #expect(found == 2 && count >= 1)
        other.join()
    }

    @Test func aClosedQueueIsEmptiedThenEnds() {
        let queue = BlockingQueue<Int>(bound: 3)
        queue.push(7)
        queue.close()
        #expect(!queue.push(8))
        #expect(queue.pop() == 7)
        #expect(queue.pop() == nil)
        #expect(queue.pop() == nil)
        queue.close()
        #expect(queue.pop() == nil)
    }

    @Test func closingLetsWaitingThreadsGo() {
        let queue = BlockingQueue<Int>(bound: 3)
        let ended = Atomic(0)
        let threads = (0..<4).map { _ in
            WorkThread {
                if queue.pop() == nil { ended.add(1, ordering: .relaxed) }
            }
        }
        queue.close()
        for thread in threads { thread.join() }
        let count = ended.load(ordering: .relaxed)
        #expect(count == 4)
    }

    @Test func droppingKeepsOrderAndBound() {
        let queue = BlockingQueue<Int>(bound: 6)
        for element in 0..<6 { queue.push(element) }
        #expect(queue.pop() == 0)
        #expect(queue.pop() == 1)
        queue.removeAll { $0 % 2 == 0 }
        for element in 6..<10 { #expect(queue.push(element)) }
        #expect(!queue.push(10))
        #expect(queue.pop() == 3)
        #expect(queue.push(11))
        #expect(drain(queue) == [5, 6, 7, 8, 9, 11])
    }

    @Test func droppingFromAnEmptyQueueIsHarmless() {
        let queue = BlockingQueue<Int>(bound: 2)
        queue.removeAll { _ in true }
        queue.push(1)
        #expect(queue.pop() == 1)
        queue.removeAll { _ in true }
        #expect(queue.push(2))
        #expect(queue.push(3))
        #expect(drain(queue) == [2, 3])
    }

    /// Any sequence of calls gives the results of a plain array.
    @Test func behavesAsAnArrayDoes() {
        for seed in UInt64(1)...300 {
            var state = seed
            func next(_ bound: UInt64) -> Int {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                return Int((state >> 33) % bound)
            }
            let bound = next(9)
            let queue = BlockingQueue<Int>(bound: bound)
            var twin: [Int] = []
            for call in 0..<200 {
                switch next(10) {
                case 0..<5:
                    let isIn = queue.push(call)
                    #expect(isIn == (twin.count < bound), "seed \(seed)")
                    if twin.count < bound { twin.append(call) }
                case 5..<9:
                    guard !twin.isEmpty else { continue }
                    let expected = twin.removeFirst()
                    #expect(queue.pop() == expected, "seed \(seed), call \(call)")
                default:
                    let divisor = 1 + next(4)
                    queue.removeAll { $0 % divisor == 0 }
                    twin.removeAll { $0 % divisor == 0 }
                }
            }
            #expect(drain(queue) == twin, "seed \(seed)")
        }
    }

    /// A queue that is never empty releases the places and elements it has given out.
    @Test func popLetsGoOfItsElement() {
        final class Token: Sendable {}
        let queue = BlockingQueue<Token>(bound: 4)
        queue.push(Token())
        weak var oldest: Token?
        for turn in 0..<100 {
            let token = Token()
            if turn == 0 { oldest = token }
            queue.push(token)
            _ = queue.pop()
        }
        #expect(oldest == nil)
    }

    @Test func manyThreadsLoseAndDoubleNothing() {
        let queue = BlockingQueue<Int>(bound: 16)
        let producers = 4
        let each = 5_000
        let taken = Mutex<[[Int]]>([])
        let consumers = (0..<4).map { _ in
            WorkThread(name: "consumer") {
                var mine: [Int] = []
                while let element = queue.pop() { mine.append(element) }
                taken.withLock { $0.append(mine) }
            }
        }
        let makers = (0..<producers).map { producer in
            WorkThread(name: "producer") {
                for number in 0..<each {
                    // A full queue is no error: the caller of `push` decides what to do, and this
                    // one tries again.
                    while !queue.push(producer * each + number) { SteadyClock.yield() }
                }
            }
        }
        for thread in makers { thread.join() }
        queue.close()
        for thread in consumers { thread.join() }
        let lists = taken.withLock { $0 }
        #expect(lists.joined().sorted() == Array(0..<(producers * each)))
        for list in lists {
            for producer in 0..<producers {
                let ofOne = list.filter { $0 / each == producer }
                #expect(ofOne == ofOne.sorted(), "one producer's elements keep their order")
            }
        }
    }
}

extension SteadyClock {
    /// Waits 20 microseconds, so that another thread may run.
    fileprivate static func yield() {
        let until = now + .microseconds(20)
        while now < until {}
    }
}
