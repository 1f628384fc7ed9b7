import ClusterProtocol
import Logging
import Partitions
import Threads
import ZeroMQ

/// A worker or a server: its socket thread, its shard service, its compute pool.
package final class MemberProcess: Sendable {
    package struct Settings: Sendable {
        package var role: Role
        package var coordinator: Endpoint
        /// The coordinator as people should read of it: with the addresses of its name.
        package var coordinatorPlace: String
        package var threadCount: Int
        package var connectTimeout: Duration
        /// Where its shards listen.
        package var addresses: MemberAddresses
        package var transport: Transport
        /// What people call it.
        package var label: String?
        /// Where a worker looks for the data.
        package var data = DataOptions()
        /// Makes the engines in place of the run's backend, for measurements and for tests of an
        /// audit; nil in every real run.
        package var makeEngine: EngineMaker?

        package init(
            role: Role, coordinator: Endpoint, coordinatorPlace: String? = nil,
            addresses: MemberAddresses, transport: Transport = Transport(), threadCount: Int = 1,
            connectTimeout: Duration = .seconds(30), label: String? = nil
        ) {
            self.role = role
            self.coordinator = coordinator
            self.coordinatorPlace = coordinatorPlace ?? "\(coordinator)"
            self.threadCount = threadCount
            self.connectTimeout = connectTimeout
            self.addresses = addresses
            self.transport = transport
            self.label = label
        }
    }

    private let thread: SocketThread<MemberLoop.Order>
    private let outcome: Monitor<Shutdown?>

    /// Starts the process's threads; they join the cluster by themselves.
    ///
    /// - Parameter onEnd: called once, on the socket thread, when all is over.
    package init(
        _ settings: Settings, log: Logger, onEnd: @escaping @Sendable () -> Void
    ) throws(Failure) {
        let outcome = Monitor<Shutdown?>(nil)
        self.outcome = outcome
        (thread, _) = try SocketThread.start(settings.role.rawValue) { () throws(Failure) in
            Scheduling.carryMessages()
            let (loop, poll, mailbox) = try MemberLoop.make(settings, log: log)
            return .init(mailbox: mailbox, value: ()) {
                let end = loop.run(poll)
                outcome.change { $0 = end }
                onEnd()
            }
        }
    }

    /// Ctrl-C: the work in hand is given back first; a second call ends at once.
    package func requestStop() { thread.post(.stop) }

    package var hasEnded: Bool { outcome.wait { .some($0 != nil) } }

    /// Waits for the end.
    package func join() -> Shutdown {
        let result = outcome.wait { $0 }
        thread.join()
        return result
    }
}
