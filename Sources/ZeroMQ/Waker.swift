import CZeroMQ
import Glibc
import Synchronization

/// Ends the wait of a `PollSet` from any thread.
///
/// Cheap and coalescing: of many calls before the next wait only the first costs a system call.
/// Everything a thread did before `wake()` is visible to the loop after the wait that reports it.
public final class Waker: Sendable {
    /// A Linux eventfd, closed with the waker.
    let fileDescriptor: Int32
    private let isPending = Atomic<Bool>(false)

    init() throws(ZeroMQError) {
        fileDescriptor = try LibraryCall.perform("create an eventfd for wake-ups") {
            eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
        }
    }

    deinit { close(fileDescriptor) }

    /// Makes the present or the next wait of the poll set return at once.
    public func wake() {
        if isPending.exchange(true, ordering: .acquiringAndReleasing) { return }
        var one: UInt64 = 1
        while write(fileDescriptor, &one, MemoryLayout<UInt64>.size) == -1, errno == EINTR {}
    }

    /// Takes the wake-up back. The descriptor is emptied *before* the flag is cleared: the other
    /// way round a wake-up in between would be emptied with its flag set, and none would follow.
    func clear() -> Bool {
        var count: UInt64 = 0
        while read(fileDescriptor, &count, MemoryLayout<UInt64>.size) == -1, errno == EINTR {}
        return isPending.exchange(false, ordering: .acquiringAndReleasing)
    }
}
