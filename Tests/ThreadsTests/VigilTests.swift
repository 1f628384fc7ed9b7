import Synchronization
import Testing
import Threads

@Suite(.timeLimit(.minutes(1))) struct VigilTests {
    @Test func looksUntilItHasCome() {
        var vigil = Vigil(limit: .seconds(20))
        var looks = 0
        vigil.keep {
            looks += 1
            return looks == 5
        }
        #expect(looks == 5)
    }

    /// After several waits in vain, `keep` does not look for a while, and then tries once more.
    @Test func restsWhenItIsInVain() {
        var vigil = Vigil(limit: .microseconds(200))
        func looks() -> Int {
            var count = 0
            vigil.keep {
                count += 1
                return false
            }
            return count
        }
        for _ in 0..<8 { #expect(looks() > 0) }
        var rests = 0
        while looks() == 0, rests < 1000 { rests += 1 }
        #expect(rests == 64)
        // That try was in vain too, so another rest follows.
        #expect(looks() == 0)
    }

    @Test func aQueueIsWatched() {
        let queue = BlockingQueue<Int>(bound: 4)
        let sum = Atomic(0)
        let thread = WorkThread {
            var vigil = Vigil(limit: .milliseconds(1))
            while let element = queue.pop(&vigil) { sum.add(element, ordering: .relaxed) }
        }
        for element in 1...1000 { while !queue.push(element) {} }
        queue.close()
        thread.join()
        #expect(sum.load(ordering: .relaxed) == 500_500)
    }
}
