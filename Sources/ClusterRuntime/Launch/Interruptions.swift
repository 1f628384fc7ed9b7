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
    /// Why a wait has ended.
    package enum Event: Sendable {
        /// SIGINT, SIGTERM, or any other signal that would end the process: a terminal that goes away
        /// (SIGHUP), a limit that is reached. A second SIGHUP is ignored.
        case stopRequested
        /// Standard input, which the parent held open, was closed.
        case parentGone
        /// `wake` was called.
        case woken
        /// The time was up.
        case timeout
    }

    private let signals: Int32
    private let wakeDescriptor: Int32
    private let watchesParent: Bool
    /// Whether a SIGHUP has come: the shell and the kernel may both send one when the terminal goes
    /// away.
    private let hasHungUp = Atomic(false)

    /// Signals that end a process which does not handle them.
    private static let fatal = [
        SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGXCPU, SIGPOLL, SIGPWR,
        SIGSTKFLT,
    ]

    /// Blocks the signals and creates the descriptors.
    ///
    /// To be called on the main thread before any other thread is started.
    ///
    /// - Parameter watchingParent: Whether standard input is held open by the parent, so that its end
    ///   means the parent's end.
    /// - Throws: `.fault` when the system gives no descriptor.
    package init(watchingParent: Bool = false) throws(RunError) {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGINT)
        sigaddset(&set, SIGTERM)
        // A signal that was ignored at the start (nohup) stays ignored.
        for number in Self.fatal where !Self.isIgnored(number) { sigaddset(&set, number) }
        pthread_sigmask(SIG_BLOCK, &set, nil)
        signal(SIGPIPE, SIG_IGN)
        signals = signalfd(-1, &set, Int32(SFD_CLOEXEC) | Int32(SFD_NONBLOCK))
        wakeDescriptor = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
        watchesParent = watchingParent
        guard signals >= 0, wakeDescriptor >= 0 else {
            throw .fault("cannot wait for signals: \(String(cString: strerror(errno)))")
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

    /// Ends a wait. Any thread may call this.
    package func wake() {
        var one: UInt64 = 1
        _ = write(wakeDescriptor, &one, 8)
    }

    /// Waits for an event, at most `timeout` and never longer than a minute.
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
