import ClusterProtocol
import Logging
import Partitions
import Threads
import ZeroMQ

/// A worker or a server: its socket thread, its shard service and its compute pool.
///
/// Threading: any thread.
package final class MemberProcess: Sendable {
    /// The settings of a worker or a server.
    package struct Settings: Sendable {
        /// The role: worker or server.
        package var role: Role
        /// The control endpoint of the coordinator.
        package var coordinator: Endpoint
        /// The coordinator as messages to people name it, with the addresses that its name stands
        /// for.
        package var coordinatorPlace: String
        /// The number of compute threads of a worker.
        package var threadCount: Int
        /// How long the process waits for its first welcome before it gives up.
        package var connectTimeout: Duration
        /// The endpoint at which the shards of this process listen, and what others are told of it.
        package var addresses: MemberAddresses
        /// The keys, encryption and address families of the sockets.
        package var transport: Transport
        /// The name that people call the process by, for instance "worker 2".
        package var label: String?
        /// The places where a worker looks for the data.
        package var data = DataOptions()
        /// Makes the engines in place of the run's backend, for measurements and for tests of an
        /// audit; nil in every real run.
        package var makeEngine: EngineMaker?

        /// Creates settings.
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

    /// Creates the process and starts its threads, which join the cluster by themselves.
    ///
    /// - Parameters:
    ///   - settings: the settings of the process.
    ///   - log: receives log lines.
    ///   - onEnd: called once, on the socket thread, when everything is over.
    /// - Throws: the reason why a socket cannot be opened or connected.
    package init(
        _ settings: Settings, log: Logger, onEnd: @escaping @Sendable () -> Void
    ) throws(RunError) {
        let outcome = Monitor<Shutdown?>(nil)
        self.outcome = outcome
        (thread, _) = try SocketThread.start(settings.role.rawValue) { () throws(RunError) in
            Scheduling.carryMessages()
            let (loop, poll, mailbox) = try MemberLoop.make(settings, log: log)
            return .init(mailbox: mailbox, value: ()) {
                let end = loop.run(poll)
                outcome.change { $0 = end }
                onEnd()
            }
        }
    }

    /// Asks the process to leave the run, which gives its virtual workers to other workers, and to
    /// end. A second call ends the process at once.
    package func requestStop() { thread.post(.stop) }

    /// Whether the process has ended.
    package var hasEnded: Bool { outcome.wait { .some($0 != nil) } }

    /// Waits for the end of the process, and returns its reason and exit code.
    package func join() -> Shutdown {
        let result = outcome.wait { $0 }
        thread.join()
        return result
    }
}
