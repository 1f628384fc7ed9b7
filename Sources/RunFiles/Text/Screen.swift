import Glibc
import Threads

/// Standard output and standard error of this process.
///
/// Each has a thread of its own, so that a terminal nobody reads (Ctrl-S, a frozen ssh window), a
/// full pipe or a file on a disk that hangs never holds up who has something to say.
public enum Screen {
    /// What waits for a reader at most, in bytes.
    private static let bound = 1 << 16

    private static let output = DeferredOutput(1, bound: bound, name: "output") { count in
        "  (\(count) lines were left out here: nobody read them)\n"
    }
    private static let error = DeferredOutput(2, bound: bound, name: "error") { count in
        "  (\(count) lines were left out here: nobody read them)\n"
    }

    /// Shows a text on standard output.
    ///
    /// - Parameter isReplaceable: the next one may take its place, as a progress line's does.
    public static func show(_ text: String, isReplaceable: Bool = false) {
        output.write(text, isReplaceable: isReplaceable)
    }

    /// Shows a text on standard error.
    public static func report(_ text: String) { error.write(text) }

    /// How standard output is doing.
    package static var condition: DeferredOutput.Condition { output.condition }

    /// Before the process ends: waits for readers, but not longer than `limit`.
    public static func flush(within limit: Duration = .seconds(2)) {
        let end = SteadyClock.now + limit
        _ = output.flush(within: limit)
        _ = error.flush(within: max(.zero, end - SteadyClock.now))
        LogOutput.flush(within: max(.milliseconds(200), end - SteadyClock.now))
    }

    /// Descriptors 0 to 2 that are closed are opened onto nothing, or the first files of the process
    /// would get their numbers, and what is meant for people would be written into them.
    public static func claimStandardDescriptors() {
        for descriptor in Int32(0)...2 where fcntl(descriptor, F_GETFD) < 0 {
            _ = open("/dev/null", descriptor == 0 ? O_RDONLY : O_WRONLY)
        }
    }
}
