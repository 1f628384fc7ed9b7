import FoundationEssentials
import Logging
import Synchronization
import Threads

#if canImport(Glibc)
    import Glibc
#endif

/// Where a process logs: a file of JSON lines, or plain lines on standard error.
public enum LogOutput: Sendable {
    case file(String)
    case standardError

    /// Directs all loggers of this process here; once a process.
    public func install(role: String) {
        let sink: LogSink
        switch self {
        case .file(let path): sink = LogSink(descriptor: LogSink.open(path), isJSON: true, role: role)
        case .standardError: sink = LogSink(descriptor: 2, isJSON: false, role: role)
        }
        LoggingSystem.bootstrap { _ in LineLogHandler(sink: sink) }
    }
}

/// Writes whole lines to one file descriptor.
private final class LogSink: Sendable {
    let isJSON: Bool
    let role: String
    private let descriptor: Int32
    private let lock = Mutex(())

    init(descriptor: Int32, isJSON: Bool, role: String) {
        self.descriptor = descriptor
        self.isJSON = isJSON
        self.role = role
    }

    /// A log that cannot be opened must not stop the run: it goes to standard error then.
    static func open(_ path: String) -> Int32 {
        let descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        return descriptor >= 0 ? descriptor : 2
    }

    func write(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        lock.withLock { _ in
            var offset = 0
            while offset < bytes.count {
                let count = bytes.withUnsafeBytes {
                    Glibc.write(descriptor, $0.baseAddress! + offset, bytes.count - offset)
                }
                if count < 0 && errno == EINTR { continue }
                // A full disk loses log lines, nothing else.
                guard count > 0 else { return }
                offset += count
            }
        }
    }
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
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    /// A number that JSON can hold; null for one it cannot.
    public static func number(_ value: Double) -> String { value.isFinite ? "\(value)" : "null" }
}
