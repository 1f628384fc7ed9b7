import Threads

/// Looks at an allow-list again on a thread of its own, since its directory may be on a disk that
/// hangs: who asks waits for a moment at most, and goes by what is known then.
package final class AllowListWatch: Sendable {
    /// What another look has found.
    package struct Finding: Sendable {
        package var change: AllowList.Change
        package var names: [String: String]
    }

    private struct State {
        var isWanted = false
        var isLooking = false
        var isClosed = false
        /// Findings that nobody has taken yet, in order.
        var findings: [Finding] = []
    }

    /// How long a disk may take; a handshake waits for it.
    private static let patience = Duration.milliseconds(200)

    private let monitor = Monitor(State())

    package init(_ list: sending AllowList) {
        let monitor = monitor
        // The thread alone takes it, for as long as a look lasts.
        let list = Monitor(list)
        _ = WorkThread(name: "allow-list") {
            while true {
                let goesOn = monitor.wait { state -> Bool? in
                    if state.isClosed { return false }
                    guard state.isWanted else { return nil }
                    state.isWanted = false
                    state.isLooking = true
                    return true
                }
                guard goesOn else { return }
                let finding = list.look { list in
                    list.refresh().map { Finding(change: $0, names: list.names) }
                }
                monitor.change { state in
                    state.isLooking = false
                    if let finding { state.findings.append(finding) }
                }
            }
        }
    }

    /// Looks again.
    ///
    /// - Returns: what has changed, as far as that is known in time.
    package func look() -> [Finding] {
        let isNew = monitor.change { state -> Bool in
            defer { if !state.isLooking { state.isWanted = true } }
            return !state.isLooking
        }
        // A look that hangs since earlier is not waited for once more.
        guard isNew else { return take() }
        _ = monitor.wait(within: Self.patience) { !$0.isWanted && !$0.isLooking ? true : nil }
        return take()
    }

    private func take() -> [Finding] {
        monitor.look { state in
            defer { state.findings = [] }
            return state.findings
        }
    }

    package func close() { monitor.change { $0.isClosed = true } }
}
