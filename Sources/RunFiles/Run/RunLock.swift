import ClusterProtocol
import FoundationEssentials
import Glibc
import Threads

/// Keeps two coordinators from working on one run directory; the kernel releases it with the process.
///
/// The file says who holds it. A holder that does not answer any more is ended by whoever goes on
/// with the run; one that even `kill -9` does not end (it hangs in the kernel, on a disk) loses the
/// lock, and its fence keeps it from writing when it wakes up.
package final class RunLock: Sendable {
    /// Who holds a lock.
    package struct Holder: Codable, Hashable, Sendable {
        package var host: String
        package var pid: Int32
        /// When the process began, in clock ticks since the host's start: numbers are used again.
        package var start: UInt64

        package static var own: Holder {
            Holder(
                host: HostFacts.hostName, pid: getpid(), start: startTime(of: getpid()) ?? 0)
        }

        package var isOnThisHost: Bool { host == HostFacts.hostName }
        package var isAlive: Bool { RunLock.startTime(of: pid) == start }
    }

    /// How long a holder may take to end once it was killed.
    private static let patience = Duration.seconds(3)

    private let descriptor: Int32
    package let fence: RunFence
    /// The holder before could not be ended: its open files must not be this process's.
    package let isFromALivingHolder: Bool

    /// - Parameters:
    ///   - isResponsive: asks the present holder whether it is at work; nil: it is taken to be.
    ///   - note: shows a line to people.
    package init(
        _ directory: RunDirectory, isResponsive: (() -> Bool)? = nil,
        note: (String) -> Void = { _ in }
    ) throws(Failure) {
        let path = directory.lock
        var descriptor = try Self.open(path)
        var isReplaced = false
        // A child of this process between fork and exec may still have what was let go of.
        let end = SteadyClock.now + .seconds(1)
        var isLocked = flock(descriptor, LOCK_EX | LOCK_NB) == 0
        while !isLocked, Self.holder(path)?.pid == getpid(), SteadyClock.now < end {
            usleep(1_000)
            isLocked = flock(descriptor, LOCK_EX | LOCK_NB) == 0
        }
        if !isLocked {
            let holder = Self.holder(path)
            do throws(Failure) {
                try Self.end(holder, directory, isResponsive: isResponsive, note: note)
            } catch {
                close(descriptor)
                throw error
            }
            let deadline = SteadyClock.now + Self.patience
            while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
                if SteadyClock.now > deadline {
                    close(descriptor)
                    descriptor = try Self.replace(path)
                    isReplaced = true
                    note("it does not end even then; this one goes on in new files")
                    break
                }
                usleep(5_000)
            }
        }
        self.descriptor = descriptor
        isFromALivingHolder = isReplaced
        fence = try RunFence(descriptor, path: path)
        try Self.sign(descriptor, path)
    }

    deinit { close(descriptor) }

    /// Ends a holder that does not answer.
    ///
    /// - Throws: 65 when it is at work, or on another host.
    private static func end(
        _ holder: Holder?, _ directory: RunDirectory, isResponsive: (() -> Bool)?,
        note: (String) -> Void
    ) throws(Failure) {
        let who = holder.map { " (pid \($0.pid) on \($0.host))" } ?? ""
        let refusal = Failure.data(
            "run directory \(directory.path): another coordinator is at work on it\(who); wait for "
                + "its end, or stop it")
        guard let holder, let isResponsive, holder.isOnThisHost, holder.isAlive,
            holder.pid != getpid(), !isResponsive()
        else { throw refusal }
        note("the coordinator before this one\(who) does not answer; it is ended")
        // Not waited for here: the lock falls with it.
        if holder.isAlive { kill(holder.pid, SIGKILL) }
    }

    private static func open(_ path: String) throws(Failure) -> Int32 {
        let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw FileSystem.failure("open", path) }
        return descriptor
    }

    /// Puts a lock of this process's in the place of the present one.
    package static func replace(_ path: String) throws(Failure) -> Int32 {
        let temporary = "\(path).\(getpid())"
        unlink(temporary)
        let descriptor = try open(temporary)
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0, rename(temporary, path) == 0 else {
            let failure = FileSystem.failure("replace", path)
            close(descriptor)
            throw failure
        }
        return descriptor
    }

    private static func sign(_ descriptor: Int32, _ path: String) throws(Failure) {
        guard let text = try? JSONEncoder().encode(Holder.own) else { return }
        let bytes = Array(text) + [UInt8(ascii: "\n")]
        guard ftruncate(descriptor, 0) == 0, pwrite(descriptor, bytes, bytes.count, 0) == bytes.count
        else { throw FileSystem.failure("write", path) }
    }

    /// Who holds a lock, as far as its file says so.
    package static func holder(_ path: String) -> Holder? {
        guard let bytes = try? FileSystem.read(path, atMost: 4096) else { return nil }
        return try? JSONDecoder().decode(Holder.self, from: Data(bytes))
    }

    /// When a process began; nil when there is none of this number.
    package static func startTime(of process: pid_t) -> UInt64? {
        guard let bytes = try? FileSystem.read("/proc/\(process)/stat", atMost: 4096) else {
            return nil
        }
        // The name before the last parenthesis may hold anything; field 22 comes 20 words after it.
        let text = String(decoding: bytes, as: UTF8.self)
        guard let end = text.lastIndex(of: ")") else { return nil }
        let words = text[text.index(after: end)...].split(separator: " ")
        guard words.count > 19, words[0] != "Z", words[0] != "X" else { return nil }
        return UInt64(words[19])
    }
}
