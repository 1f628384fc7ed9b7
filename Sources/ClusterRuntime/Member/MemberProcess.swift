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
        /// Flips one bit of one gradient in this step, to see an audit catch it.
        package var flipBitInStep: Int?
        /// Computes in place of the run's backend, for measurements; nil in every real run.
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

    private let thread: WorkThread
    private let mailbox: Mailbox<MemberLoop.Order>
    private let outcome: Monitor<Shutdown?>

    /// Starts the process's threads; they join the cluster by themselves.
    ///
    /// - Parameter onEnd: called once, on the socket thread, when all is over.
    package init(
        _ settings: Settings, log: Logger, onEnd: @escaping @Sendable () -> Void
    ) throws(Failure) {
        let outcome = Monitor<Shutdown?>(nil)
        let ready = Monitor<Result<Mailbox<MemberLoop.Order>, Failure>?>(nil)
        self.outcome = outcome
        thread = WorkThread(name: settings.role.rawValue) {
            Scheduling.carryMessages()
            do throws(Failure) {
                let (loop, poll, mailbox) = try MemberLoop.make(settings, log: log)
                ready.change { $0 = .success(mailbox) }
                let end = loop.run(poll)
                outcome.change { $0 = end }
            } catch {
                ready.change { $0 = .failure(error) }
            }
            onEnd()
        }
        switch ready.wait(until: { $0 }) {
        case .success(let mailbox): self.mailbox = mailbox
        case .failure(let failure):
            thread.join()
            throw failure
        }
    }

    /// Ctrl-C: the work in hand is given back first; a second call ends at once.
    package func requestStop() { mailbox.post(.stop) }

    package var hasEnded: Bool { outcome.wait { .some($0 != nil) } }

    /// Waits for the end.
    package func join() -> Shutdown {
        let result = outcome.wait { $0 }
        thread.join()
        return result
    }
}
