import ClusterProtocol
import ClusterRuntime
import Glibc
import Partitions
import RunFiles
import Synchronization
import Threads

/// Shows on standard error how far an import is, and afterwards what people should know of it.
///
/// An import of less than a second shows nothing. On a terminal a line renews itself; elsewhere
/// there is a line every few seconds.
///
/// Threading: any thread.
final class ImportDisplay: Sendable {
    private struct State {
        var lastShown: Duration?
        var hasOpenLine = false
    }

    /// The time before the first line, and between two lines.
    private static let patience = Duration.seconds(1)
    private static let terminalInterval = Duration.milliseconds(100)
    private static let lineInterval = Duration.seconds(5)

    private let source: String
    private let isTerminal = isatty(2) == 1
    private let start = SteadyClock.now
    private let state = Mutex(State())

    private init(_ source: String) { self.source = LineText.printable(source) }

    /// Runs a body that may import a data set into the user's cache.
    ///
    /// - Parameters:
    ///   - specification: the data set.
    ///   - body: receives the importer that shows its progress; nil where nothing is imported,
    ///     or where there is no cache.
    /// - Returns: what the body returns. The remarks of an import are written as warnings before.
    static func importing<Value>(
        _ specification: DataSpecification, _ body: (DataImport?) throws(RunError) -> Value
    ) throws(RunError) -> Value {
        guard specification.isCompiled, let cache = DataCache.standard else { return try body(nil) }
        let display = ImportDisplay("\(specification)")
        let remarks = RemarkBox()
        let importer = DataImport(
            cache: cache, progress: { display.show($0, of: $1) },
            completion: { remarks.set($0.remarks) })
        let value: Value
        do throws(RunError) { value = try body(importer) } catch {
            display.finish()
            throw error
        }
        display.finish()
        for remark in remarks.taken { Terminal.warn(remark) }
        return value
    }

    /// The remarks of an import.
    private final class RemarkBox: Sendable {
        private let remarks = Mutex<[String]>([])
        func set(_ new: [String]) { remarks.withLock { $0 = new } }
        var taken: [String] { remarks.withLock { $0 } }
    }

    private func show(_ done: Int, of total: Int) {
        let now = SteadyClock.now
        guard now - start >= Self.patience else { return }
        state.withLock { state in
            let interval = isTerminal ? Self.terminalInterval : Self.lineInterval
            if let last = state.lastShown, now - last < interval { return }
            state.lastShown = now
            let rate = Double(done) / ((now - start) / .seconds(1))
            let line = ProgressLine(fields: [
                "importing \(source)",
                "\(NumberText.grouped(done)) of \(NumberText.grouped(total)) records",
                "\(NumberText.grouped(Int(rate))) records/s",
                "\(NumberText.grouped(Int(Double(total - done) / max(rate, 1)))) s left",
            ])
            guard isTerminal else {
                Screen.report(line.text + "\n")
                return
            }
            let shown = line.fitted(to: TerminalSize.columnCount(of: 2))
            Screen.report("\r\u{1B}[K" + shown, isReplaceable: true)
            state.hasOpenLine = true
        }
    }

    /// Takes the line away.
    private func finish() {
        state.withLock { state in
            if state.hasOpenLine { Screen.report("\r\u{1B}[K") }
            state.hasOpenLine = false
        }
    }
}
