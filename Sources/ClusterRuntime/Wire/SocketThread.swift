import Threads
import ZeroMQ

/// A thread that owns sockets, and the mailbox by which other threads give it orders.
///
/// Sockets belong to the thread that opens them. So the thread opens them itself, and whoever starts it
/// waits until it has, or learns why it could not.
final class SocketThread<Order: Sendable>: Sendable {
    /// What a thread has opened.
    struct Opened<Value> {
        /// Where orders are posted.
        var mailbox: Mailbox<Order>
        /// What the starter wants to know, for instance where the sockets are bound.
        var value: Value
        /// The rest of the thread's life; it ends after an order to stop.
        var run: () -> Void
    }

    private let mailbox: Mailbox<Order>
    private let thread: WorkThread

    private init(mailbox: Mailbox<Order>, thread: WorkThread) {
        self.mailbox = mailbox
        self.thread = thread
    }

    /// Starts a thread and waits until it has opened its sockets.
    ///
    /// - Parameters:
    ///   - name: the thread's name, for debuggers and `top`.
    ///   - open: opens the sockets, on the new thread.
    /// - Returns: the thread, and what `open` gave as its value.
    /// - Throws: what `open` throws; the thread has ended then.
    static func start<Value: Sendable, Failure: Error>(
        _ name: String, open: @escaping @Sendable () throws(Failure) -> Opened<Value>
    ) throws(Failure) -> (SocketThread, Value) {
        let ready = Monitor<Result<(Mailbox<Order>, Value), Failure>?>(nil)
        let thread = WorkThread(name: name) {
            do throws(Failure) {
                let opened = try open()
                ready.change { $0 = .success((opened.mailbox, opened.value)) }
                opened.run()
            } catch {
                ready.change { $0 = .failure(error) }
            }
        }
        switch ready.wait(until: { $0 }) {
        case .success(let (mailbox, value)):
            return (SocketThread(mailbox: mailbox, thread: thread), value)
        case .failure(let error):
            thread.join()
            throw error
        }
    }

    /// Gives the thread an order.
    func post(_ order: Order) { mailbox.post(order) }

    /// Waits for the end of the thread.
    func join() { thread.join() }
}
