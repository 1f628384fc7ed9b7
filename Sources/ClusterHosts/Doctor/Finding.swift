import ClusterProtocol
import ClusterRuntime
import RunFiles

/// Something that `convoy doctor` found wrong.
package struct Finding: Hashable, Sendable {
    package enum Severity: String, Sendable, Comparable, CaseIterable {
        /// The run works, but not as well as it should.
        case warning
        /// The run would fail.
        case error
        /// Nothing is known of this host.
        case unreachable

        package static func < (left: Self, right: Self) -> Bool {
            allCases.firstIndex(of: left)! < allCases.firstIndex(of: right)!
        }
    }

    package var severity: Severity
    /// The host, as the cluster file names it.
    package var host: String
    package var what: String
    package var expected: String
    package var found: String
    package var advice: String

    package init(
        _ severity: Severity, _ host: String, _ what: String, expected: String, found: String,
        advice: String
    ) {
        self.severity = severity
        self.host = host
        self.what = what
        self.expected = expected
        self.found = found
        self.advice = advice
    }

    package var line: String {
        TextTable.printable(
            "\(severity.rawValue)  \(host): \(what): expected \(expected), found \(found); "
                + advice)
    }

    package var json: String {
        StatusJSON.object([
            ("severity", JSONText.string(severity.rawValue)), ("host", JSONText.string(host)),
            ("what", JSONText.string(what)), ("expected", JSONText.string(expected)),
            ("found", JSONText.string(found)), ("advice", JSONText.string(advice)),
        ])
    }

    /// What `convoy doctor` ends with.
    package static func exitCode(_ findings: [Finding]) -> Int {
        switch findings.map(\.severity).max() {
        case .unreachable: ExitCode.lost
        case .error: ExitCode.data
        case .warning, nil: ExitCode.done
        }
    }
}
