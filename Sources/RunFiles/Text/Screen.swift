import Glibc
import Threads

/// Writes to standard output and standard error of this process without waiting.
///
/// Each of the two has its own thread. So a terminal that is not read (Ctrl-S, a frozen ssh
/// window), a full pipe or a file on a hanging disk never stops the thread that has something to
/// write.
public enum Screen {
    /// The most bytes that wait for a reader.
    private static let bound = 1 << 16

    private static let output = DeferredOutput(1, bound: bound, name: "output") { count in
        "  (\(count) lines were left out here: nobody read them)\n"
    }
    private static let error = DeferredOutput(2, bound: bound, name: "error") { count in
        "  (\(count) lines were left out here: nobody read them)\n"
    }

    /// Writes a text to standard output.
    ///
    /// - Parameters:
    ///   - text: what to show.
    ///   - isReplaceable: whether the next text may replace this one while it waits, as for
    ///     progress lines.
    public static func show(_ text: String, isReplaceable: Bool = false) {
        output.write(text, isReplaceable: isReplaceable)
    }

    /// Writes a text to standard error.
    ///
    /// - Parameter isReplaceable: whether the next text may replace this one while it waits.
    public static func report(_ text: String, isReplaceable: Bool = false) {
        error.write(text, isReplaceable: isReplaceable)
    }

    /// The condition of standard output.
    package static var condition: DeferredOutput.Condition { output.condition }

    /// Waits until both outputs and the log are written. It is called before the process ends.
    ///
    /// - Parameter limit: the longest wait for the two outputs. The log gets the time that is left,
    ///   but at least 200 ms.
    public static func flush(within limit: Duration = .seconds(2)) {
        let end = SteadyClock.now + limit
        _ = output.flush(within: limit)
        _ = error.flush(within: max(.zero, end - SteadyClock.now))
        LogOutput.flush(within: max(.milliseconds(200), end - SteadyClock.now))
    }

    /// Opens /dev/null for each of the descriptors 0 to 2 that is closed.
    ///
    /// Otherwise the first files of the process would get these numbers, and text for people would
    /// be written into them.
    public static func claimStandardDescriptors() {
        for descriptor in Int32(0)...2 where fcntl(descriptor, F_GETFD) < 0 {
            _ = open("/dev/null", descriptor == 0 ? O_RDONLY : O_WRONLY)
        }
    }
}
