import FoundationEssentials
import Glibc
import Logging
import Synchronization
import Threads

/// The destination of a process's log: a file of JSON lines, or plain lines on standard error.
public enum LogOutput: Sendable {
    /// A file of this path, to which JSON lines are appended.
    case file(String)
    /// Standard error, in plain lines.
    case standardError

    /// Directs all loggers of this process to this output. It must be called once in a process.
    ///
    /// - Parameter role: the name of the process's role, which each line shows.
    public func install(role: String) {
        let sink: LogSink
        switch self {
        case .file(let path):
            sink = LogSink(descriptor: LogSink.open(path), isJSON: true, role: role)
            Self.installed.withLock { $0 = sink }
        case .standardError: sink = LogSink(descriptor: nil, isJSON: false, role: role)
        }
        LoggingSystem.bootstrap { _ in LineLogHandler(sink: sink) }
    }

    private static let installed = Mutex<LogSink?>(nil)

    /// Waits until the log is written, but not longer than `limit`.
    package static func flush(within limit: Duration) {
        _ = installed.withLock { $0 }?.flush(within: limit)
    }
}

/// Takes whole lines, which its own thread writes. A thread that logs never waits.
private final class LogSink: Sendable {
    let isJSON: Bool
    let role: String
    /// The file; nil for standard error, which other code of the process writes to as well.
    private let file: DeferredOutput?

    /// The most bytes that wait to be written.
    private static let bound = 1 << 20

    init(descriptor: Int32?, isJSON: Bool, role: String) {
        self.isJSON = isJSON
        self.role = role
        file = descriptor.map { descriptor in
            DeferredOutput(descriptor, bound: Self.bound, name: "log") { count in
                "{\"time\":\(SteadyClock.wallSeconds),\"level\":\"warning\","
                    + "\"role\":\(JSONText.string(role)),"
                    + "\"message\":\"log lines left out\",\"log.lines\":\"\(count)\"}\n"
            }
        }
    }

    /// Opens a log file, or returns the descriptor of standard error when the file cannot be
    /// opened. A log must not stop the run.
    static func open(_ path: String) -> Int32 {
        let descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        return descriptor >= 0 ? descriptor : 2
    }

    func write(_ line: String) {
        if let file { file.write(line + "\n") } else { Screen.report(line + "\n") }
    }

    func flush(within limit: Duration) -> Bool { file?.flush(within: limit) ?? true }
}

/// Turns each log event into one line.
private struct LineLogHandler: LogHandler {
    let sink: LogSink
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level = .info

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let all = metadata.merging(event.metadata ?? [:]) { $1 }
        let fields = all.keys.sorted().map { ($0, "\(all[$0]!)") }
        guard sink.isJSON else {
            let rest = fields.map { " \($0)=\($1)" }.joined()
            sink.write("\(sink.role): \(event.level): \(event.message)\(rest)")
            return
        }
        var line = "{\"time\":\(SteadyClock.wallSeconds),\"level\":\"\(event.level)\","
        line += "\"role\":\(JSONText.string(sink.role)),"
        line += "\"message\":\(JSONText.string("\(event.message)"))"
        for (key, value) in fields {
            line += ",\(JSONText.string(key)):\(JSONText.string(value))"
        }
        sink.write(line + "}")
    }
}

/// Writes values as JSON, for lines that are composed by hand.
public enum JSONText {
    /// Returns a JSON string with its quotation marks. Control characters are escaped.
    public static func string(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            case "\r": result += "\\r"
            // Some terminals take the control characters after ASCII for the beginning of a
            // command.
            case _ where scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value):
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    /// Returns a JSON number, or `null` for a number that JSON cannot hold: an infinity or a NaN.
    public static func number(_ value: some BinaryFloatingPoint & CustomStringConvertible) -> String {
        value.isFinite ? "\(value)" : "null"
    }
}
