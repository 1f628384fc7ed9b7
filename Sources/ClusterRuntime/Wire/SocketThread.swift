import Threads
import ZeroMQ

/// A thread that owns sockets, and the mailbox through which other threads give it orders.
///
/// A socket belongs to the thread that opens it. So the thread opens its sockets itself, and the
/// thread that starts it waits until they are open, or learns why they could not be opened.
final class SocketThread<Order: Sendable>: Sendable {
    /// The result of opening a thread's sockets.
    struct Opened<Value> {
        /// The mailbox to which orders are posted.
        var mailbox: Mailbox<Order>
        /// A value for the code that starts the thread, for instance where the sockets are bound.
        var value: Value
        /// The rest of the thread's work; it returns after an order to stop.
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
    /// - Returns: the thread, and the value that `open` returned.
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

    /// Posts an order to the thread.
    func post(_ order: Order) { mailbox.post(order) }

    /// Waits until the thread has ended.
    func join() { thread.join() }
}
