import Threads

/// Looks at an allow-list again on a thread of its own, since the directory's disk may hang.
///
/// A caller waits for a short time at most, and then decides by what is known.
///
/// Threading: any thread may call.
package final class AllowListWatch: Sendable {
    /// What another look has found.
    package struct Finding: Sendable {
        /// What has changed.
        package var change: AllowList.Change
        /// The nodes' names by key after the change.
        package var names: [String: String]
    }

    private struct State {
        var isWanted = false
        var isLooking = false
        var isClosed = false
        /// Findings that no caller has taken yet, in order.
        var findings: [Finding] = []
    }

    /// How long a look may take before callers go on without it; a handshake waits for it.
    private static let patience = Duration.milliseconds(200)

    private let monitor = Monitor(State())

    /// Creates a watch and starts its thread.
    package init(_ list: sending AllowList) {
        let monitor = monitor
        // Only the thread uses the list, for as long as a look lasts.
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

    /// Looks at the directory again.
    ///
    /// - Returns: What has changed, as far as it is known in time.
    package func look() -> [Finding] {
        let isNew = monitor.change { state -> Bool in
            defer { if !state.isLooking { state.isWanted = true } }
            return !state.isLooking
        }
        // An earlier look that hangs is not waited for again.
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

    /// Ends the thread.
    package func close() { monitor.change { $0.isClosed = true } }
}
