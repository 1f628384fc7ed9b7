import Buffers
import CLinux
import ClusterProtocol
import Glibc
import ZeroMQ

/// The layout of the page of shared memory that describes a pipe. Only a process of Convoy has such
/// memory, and only processes of the same user can read it.
///
/// | offset | field, UInt64 |
/// |---|---|
/// | 0 | magic |
/// | 8 | token |
/// | 16 | descriptor of the pipe |
/// | 24 | inode of the pipe |
enum PipeSign {
    /// The first eight bytes of the page as a little-endian number: `CVOYPIPE`.
    static let magic: UInt64 = 0x4550_4950_594F_5643
    /// The length of the page in bytes.
    static let pageByteCount = 4096
    /// The number of fields.
    static let fieldCount = 4
}

/// A pipe in which other processes of this host and user put messages about shared memory for one
/// thread of this process. The messages do not pass through libzmq's threads.
///
/// Anything but a whole record of the expected kind ends the inbox; messages then come through
/// sockets again. A record names its sender, and that name is believed: processes of one user on
/// one host trust each other, here as elsewhere.
///
/// Threading: one thread only, from `init` to `close`.
package final class PipeInbox {
    /// The warning in the log when an inbox has ended because of foreign bytes.
    static let spoiledSentence =
        "something else than Convoy wrote to a pipe; messages go through sockets from now on"

    /// The number of records that one call of `receive` returns at most.
    private static let batch = 64

    /// The records that came, in order, and whether foreign bytes have ended the inbox.
    package struct Received {
        /// The whole records before the foreign bytes, if there are any.
        package var records: [PipeRecord] = []
        /// Whether foreign bytes have ended the inbox.
        package var isSpoiled = false
    }

    private let kind: BulkKind
    private let memory: SharedPayload.Memory
    private let readEnd: Int32
    /// Never written to. While it is open, a writer that leaves does not end the pipe.
    private let writeEnd: Int32
    private var buffer = [UInt8](repeating: 0, count: batch * PipeRecord.byteCount)
    private var isOpen = true

    /// Creates a pipe and the page that describes it. Returns nil where the system gives no pipe or
    /// no shared memory.
    ///
    /// - Parameter kind: the kind of the messages that may come this way.
    package init?(for kind: BulkKind) {
        self.kind = kind
        var ends: [Int32] = [-1, -1]
        guard convoy_pipe(&ends) == 0 else { return nil }
        let page = convoy_shared_memory(SharedWindow.label, PipeSign.pageByteCount)
        let token = UInt64.random(in: .min ... .max)
        (readEnd, writeEnd) = (ends[0], ends[1])
        memory = SharedPayload.Memory(
            processIdentifier: Int(getpid()), descriptor: Int(page), token: token)
        var status = stat()
        guard page >= 0, fstat(readEnd, &status) == 0 else {
            close()
            return nil
        }
        let fields = [PipeSign.magic, token, UInt64(readEnd), UInt64(status.st_ino)]
        let byteCount = fields.count * 8
        guard pwrite(page, fields, byteCount, 0) == byteCount else {
            close()
            return nil
        }
    }

    deinit { close() }

    /// The name by which other processes open the inbox; nil when it is closed.
    package var place: SharedPayload.Memory? { isOpen ? memory : nil }

    /// The item with which a poll set waits for records; nil when the inbox is closed.
    var pollItem: PollItem? { isOpen ? PollItem(fileDescriptor: readEnd) : nil }

    /// Closes the pipe and its page; idempotent.
    package func close() {
        guard isOpen else { return }
        isOpen = false
        for descriptor in [readEnd, writeEnd, Int32(memory.descriptor)] where descriptor >= 0 {
            Glibc.close(descriptor)
        }
    }

    /// Returns the records that are there, up to a limit, without waiting.
    package func receive() -> Received {
        var received = Received()
        guard isOpen else { return received }
        let count = read(readEnd, &buffer, buffer.count)
        guard count > 0 else { return received }
        buffer.withUnsafeBytes { bytes in
            for start in stride(from: 0, to: count, by: PipeRecord.byteCount) {
                let end = start + PipeRecord.byteCount
                guard end <= count, let record = PipeRecord(.init(rebasing: bytes[start..<end])),
                    record.header.kind == kind
                else {
                    received.isSpoiled = true
                    return
                }
                received.records.append(record)
            }
        }
        if received.isSpoiled { close() }
        return received
    }
}
