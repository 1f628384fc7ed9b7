import FoundationEssentials
import Glibc
import Logging
import Synchronization
import Threads

/// Where a process logs: a file of JSON lines, or plain lines on standard error.
public enum LogOutput: Sendable {
    case file(String)
    case standardError

    /// Directs all loggers of this process here; once a process.
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

    /// Waits until what was logged is written, but not longer than `limit`.
    package static func flush(within limit: Duration) {
        _ = installed.withLock { $0 }?.flush(within: limit)
    }
}

/// Takes whole lines, and never lets who logs wait: a thread of its own writes them.
private final class LogSink: Sendable {
    let isJSON: Bool
    let role: String
    /// Nil: standard error, which others write to as well.
    private let file: DeferredOutput?

    /// Lines that wait at most, in bytes.
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

    /// A log that cannot be opened must not stop the run: it goes to standard error then.
    static func open(_ path: String) -> Int32 {
        let descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        return descriptor >= 0 ? descriptor : 2
    }

    func write(_ line: String) {
        if let file { file.write(line + "\n") } else { Screen.report(line + "\n") }
    }

    func flush(within limit: Duration) -> Bool { file?.flush(within: limit) ?? true }
}

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

/// JSON pieces for lines that are written by hand.
public enum JSONText {
    public static func string(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            case "\r": result += "\\r"
            // Some terminals take those after ASCII for the beginning of an order.
            case _ where scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value):
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    /// A number that JSON can hold; null for one it cannot.
    public static func number(_ value: some BinaryFloatingPoint & CustomStringConvertible) -> String {
        value.isFinite ? "\(value)" : "null"
    }
}
