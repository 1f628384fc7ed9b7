import Glibc
import Synchronization
import Testing
import Threads

@Suite(.timeLimit(.minutes(1))) struct WorkThreadTests {
    @Test func joinWaitsForTheBody() {
        let done = Atomic(false)
        let thread = WorkThread {
            usleep(20_000)
            done.store(true, ordering: .releasing)
        }
        thread.join()
        let isDone = done.load(ordering: .acquiring)
        #expect(isDone)
    }

    @Test func theBodyRunsOnAThreadOfItsOwn() {
        let mine = pthread_self()
        let theirs = Mutex(mine)
        let thread = WorkThread {
            theirs.withLock { $0 = pthread_self() }
        }
        thread.join()
        #expect(theirs.withLock { $0 } != mine)
    }

    @Test(arguments: [("short", "short"), ("a-name-of-many-letters", "a-name-of-many-")])
    func theSystemShowsItsName(name: String, shown: String) {
        let found = Mutex("")
        let thread = WorkThread(name: name) {
            let file = open("/proc/thread-self/comm", O_RDONLY | O_CLOEXEC)
            var bytes = [UInt8](repeating: 0, count: 32)
            let count = read(file, &bytes, bytes.count)
            close(file)
            // The kernel ends the name with a line feed.
            let text = String(decoding: bytes.prefix(max(1, count) - 1), as: UTF8.self)
            found.withLock { $0 = text }
        }
        thread.join()
        #expect(found.withLock { $0 } == shown)
    }

    @Test func whatTheBodyHoldsIsReleasedAtItsEnd() {
        final class Token: Sendable {}
        weak var held: Token?
        let thread: WorkThread
        do {
            let token = Token()
            held = token
            thread = WorkThread { withExtendedLifetime(token) {} }
        }
        thread.join()
        #expect(held == nil)
    }

    @Test func theClockNeverGoesBack() {
        var last = SteadyClock.now
        for _ in 0..<10_000 {
            let now = SteadyClock.now
            #expect(now >= last)
            last = now
        }
        let start = SteadyClock.nanoseconds()
        usleep(5_000)
        #expect(SteadyClock.nanoseconds() - start >= 5_000_000)
        #expect(SteadyClock.wallSeconds > 1_700_000_000)
    }
}
