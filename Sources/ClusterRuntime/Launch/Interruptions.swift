import CLinux
import ClusterProtocol
import Glibc
import RunFiles
import Synchronization
import Threads

/// What the main thread of every role waits for: Ctrl-C, the end of its parent, the end of the work.
///
/// Signals are blocked in all threads and read from a descriptor, so no handler ever runs.
package final class Interruptions: Sendable {
    package enum Event: Sendable {
        /// SIGINT, SIGTERM, or any other signal that would end the process: a terminal that goes
        /// away (SIGHUP), a limit that is reached. A second SIGHUP asks for nothing more.
        case stopRequested
        /// Standard input, held open by the parent, was closed.
        case parentGone
        /// `wake` was called.
        case woken
        case timeout
    }

    private let signals: Int32
    private let wakeDescriptor: Int32
    private let watchesParent: Bool
    /// A shell and the kernel may both tell that the terminal is gone.
    private let hasHungUp = Atomic(false)

    /// Signals that end a process unless it takes them.
    private static let fatal = [
        SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGXCPU, SIGPOLL, SIGPWR,
        SIGSTKFLT,
    ]

    /// To be made on the main thread before any other thread is started.
    package init(watchingParent: Bool = false) throws(Failure) {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGINT)
        sigaddset(&set, SIGTERM)
        // Whoever had one ignored (nohup) wants it ignored.
        for number in Self.fatal where !Self.isIgnored(number) { sigaddset(&set, number) }
        pthread_sigmask(SIG_BLOCK, &set, nil)
        signal(SIGPIPE, SIG_IGN)
        signals = signalfd(-1, &set, Int32(SFD_CLOEXEC) | Int32(SFD_NONBLOCK))
        wakeDescriptor = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
        watchesParent = watchingParent
        guard signals >= 0, wakeDescriptor >= 0 else {
            throw .internalError("cannot wait for signals: \(String(cString: strerror(errno)))")
        }
    }

    deinit {
        close(signals)
        close(wakeDescriptor)
    }

    private static func isIgnored(_ number: Int32) -> Bool {
        var action = sigaction()
        guard sigaction(number, nil, &action) == 0 else { return false }
        return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
            == unsafeBitCast(SIG_IGN, to: Int.self)
    }

    /// Ends a wait from another thread.
    package func wake() {
        var one: UInt64 = 1
        _ = write(wakeDescriptor, &one, 8)
    }

    package func wait(timeout: Duration) -> Event {
        var items = [
            pollfd(fd: signals, events: Int16(POLLIN), revents: 0),
            pollfd(fd: wakeDescriptor, events: Int16(POLLIN), revents: 0),
        ]
        if watchesParent { items.append(pollfd(fd: 0, events: Int16(POLLIN), revents: 0)) }
        let milliseconds = Int32(max(0, min(timeout / .milliseconds(1), 60_000)))
        guard poll(&items, nfds_t(items.count), milliseconds) > 0 else { return .timeout }
        if items[0].revents != 0 {
            var information = signalfd_siginfo()
            if read(signals, &information, MemoryLayout<signalfd_siginfo>.size) > 0 {
                let isHangup = information.ssi_signo == UInt32(SIGHUP)
                let isFirst = !hasHungUp.exchange(true, ordering: .relaxed)
                return isHangup && !isFirst ? .timeout : .stopRequested
            }
        }
        if watchesParent, items[2].revents != 0 {
            var byte: UInt8 = 0
            if read(0, &byte, 1) <= 0 { return .parentGone }
        }
        if items[1].revents != 0 {
            var count: UInt64 = 0
            _ = read(wakeDescriptor, &count, 8)
            return .woken
        }
        return .timeout
    }
}
