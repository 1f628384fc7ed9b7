import ClusterProtocol
import ClusterRuntime
import RunFiles

/// A problem that `convoy doctor` found.
package struct Finding: Hashable, Sendable {
    /// How bad a problem is, in ascending order.
    package enum Severity: String, Sendable, Comparable, CaseIterable {
        /// The run works, but not as well as it should.
        case warning
        /// The run would fail.
        case error
        /// Nothing is known about this host.
        case unreachable

        /// Returns whether the left severity is the lesser one.
        package static func < (left: Self, right: Self) -> Bool {
            allCases.firstIndex(of: left)! < allCases.firstIndex(of: right)!
        }
    }

    /// How bad the problem is.
    package var severity: Severity
    /// The host, as the cluster file names it.
    package var host: String
    /// The part of the host that has the problem, for instance "clock".
    package var what: String
    /// What the doctor expected.
    package var expected: String
    /// What the doctor found.
    package var found: String
    /// What the user can do.
    package var advice: String

    /// Creates a finding.
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

    /// The finding as one line for people.
    package var line: String {
        TextTable.printable(
            "\(severity.rawValue)  \(host): \(what): expected \(expected), found \(found); "
                + advice)
    }

    /// The finding as a JSON object.
    package var json: String {
        StatusJSON.object([
            ("severity", JSONText.string(severity.rawValue)), ("host", JSONText.string(host)),
            ("what", JSONText.string(what)), ("expected", JSONText.string(expected)),
            ("found", JSONText.string(found)), ("advice", JSONText.string(advice)),
        ])
    }

    /// Returns the exit code of `convoy doctor`: 69 with an unreachable host, 65 with an error,
    /// otherwise 0.
    package static func exitCode(_ findings: [Finding]) -> Int {
        switch findings.map(\.severity).max() {
        case .unreachable: ExitCode.lost
        case .error: ExitCode.data
        case .warning, nil: ExitCode.done
        }
    }
}
