import ClusterProtocol
import FoundationEssentials
import Glibc
import Threads

/// Keeps two coordinators from working on one run directory. The kernel releases the lock when its
/// process ends.
///
/// The lock file names its holder. A coordinator that goes on with the run ends a holder that does
/// not answer any more. Even `kill -9` may not end a holder that hangs in the kernel, on a disk.
/// Such a holder loses the lock, and its fence keeps it from writing when it wakes up.
package final class RunLock: Sendable {
    /// The process that holds a lock.
    package struct Holder: Codable, Hashable, Sendable {
        /// The name of the holder's host.
        package var host: String
        /// The holder's process identifier.
        package var pid: Int32
        /// The start of the holder in clock ticks since the host's start. It is needed because the
        /// kernel uses process identifiers again.
        package var start: UInt64

        /// This process.
        package static var own: Holder {
            Holder(
                host: HostFacts.hostName, pid: getpid(), start: startTime(of: getpid()) ?? 0)
        }

        /// Whether the holder ran on this host.
        package var isOnThisHost: Bool { host == HostFacts.hostName }
        /// Whether the process still runs. It is meaningful on the holder's host only.
        package var isAlive: Bool { RunLock.startTime(of: pid) == start }
    }

    /// The time that a holder may take to end after it was killed.
    private static let patience = Duration.seconds(3)

    private let descriptor: Int32
    /// The fence of this lock: it tells whether this process still owns the run.
    package let fence: RunFence
    /// Whether the former holder could not be ended. This process must then not share the files
    /// that the former holder has open.
    package let isFromALivingHolder: Bool

    /// Takes the lock of a run directory.
    ///
    /// - Parameters:
    ///   - directory: the run directory.
    ///   - isResponsive: returns whether the present holder answers; nil assumes that it does.
    ///   - note: shows a line to the user.
    /// - Throws: `.occupied` when another coordinator is at work on the run, or when the holder is
    ///   on another host.
    package init(
        _ directory: RunDirectory, isResponsive: (() -> Bool)? = nil,
        note: (String) -> Void = { _ in }
    ) throws(RunError) {
        let path = directory.lock
        var descriptor = try Self.open(path)
        var isReplaced = false
        // A child of this process between fork and exec may still hold a lock that this process has
        // released.
        let end = SteadyClock.now + .seconds(1)
        var isLocked = flock(descriptor, LOCK_EX | LOCK_NB) == 0
        while !isLocked, Self.holder(path)?.pid == getpid(), SteadyClock.now < end {
            usleep(1_000)
            isLocked = flock(descriptor, LOCK_EX | LOCK_NB) == 0
        }
        if !isLocked {
            let holder = Self.holder(path)
            do throws(RunError) {
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

    /// Kills a holder that does not answer. The caller waits for the lock, which the kernel
    /// releases with the process.
    ///
    /// - Throws: `.occupied` when the holder is at work, or on another host.
    private static func end(
        _ holder: Holder?, _ directory: RunDirectory, isResponsive: (() -> Bool)?,
        note: (String) -> Void
    ) throws(RunError) {
        let who = holder.map { " (pid \($0.pid) on \($0.host))" } ?? ""
        let refusal = RunError.occupied(
            "run directory \(directory.path): another coordinator is at work on it\(who); wait for "
                + "its end, or stop it")
        guard let holder, let isResponsive, holder.isOnThisHost, holder.isAlive,
            holder.pid != getpid(), !isResponsive()
        else { throw refusal }
        note("the coordinator before this one\(who) does not answer; it is ended")
        // The caller waits for the end of the process: the lock is released with it.
        if holder.isAlive { kill(holder.pid, SIGKILL) }
    }

    private static func open(_ path: String) throws(RunError) -> Int32 {
        let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw FileSystem.failure("open", path) }
        return descriptor
    }

    /// Puts a new lock file in the place of the present one.
    ///
    /// - Returns: the descriptor of the new file, which this process has locked.
    package static func replace(_ path: String) throws(RunError) -> Int32 {
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

    /// Writes this process into the lock file as its holder.
    private static func sign(_ descriptor: Int32, _ path: String) throws(RunError) {
        guard let text = try? JSONEncoder().encode(Holder.own) else { return }
        let bytes = Array(text) + [UInt8(ascii: "\n")]
        guard ftruncate(descriptor, 0) == 0, pwrite(descriptor, bytes, bytes.count, 0) == bytes.count
        else { throw FileSystem.failure("write", path) }
    }

    /// Returns the holder that a lock file names, or nil when the file cannot be read.
    package static func holder(_ path: String) -> Holder? {
        guard let bytes = try? FileSystem.read(path, atMost: 4096) else { return nil }
        return try? JSONDecoder().decode(Holder.self, from: Data(bytes))
    }

    /// Returns the start of a process in clock ticks since the host's start, or nil when no process
    /// with this number runs.
    package static func startTime(of process: pid_t) -> UInt64? {
        guard let bytes = try? FileSystem.read("/proc/\(process)/stat", atMost: 4096) else {
            return nil
        }
        // The process name ends at the last parenthesis and may contain anything. Field 22, the
        // start time, comes 20 words after it.
        let text = String(decoding: bytes, as: UTF8.self)
        guard let end = text.lastIndex(of: ")") else { return nil }
        let words = text[text.index(after: end)...].split(separator: " ")
        guard words.count > 19, words[0] != "Z", words[0] != "X" else { return nil }
        return UInt64(words[19])
    }
}
