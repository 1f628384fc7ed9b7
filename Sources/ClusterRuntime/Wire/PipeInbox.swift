import Buffers
import CLinux
import ClusterProtocol
import Glibc
import ZeroMQ

/// The page that tells others of a pipe: only a process of Convoy has such memory, and only the
/// same user can read it.
///
/// | bytes | what |
/// |---|---|
/// | 0 | magic |
/// | 8 | token |
/// | 16 | descriptor of the pipe |
/// | 24 | its inode |
enum PipeSign {
    static let magic: UInt64 = 0x4550_4950_594F_5643
    static let pageByteCount = 4096
    static let fieldCount = 4
}

/// Where other processes of this host, of the same user, put messages about shared memory for one
/// thread of this process. They reach it without libzmq's threads.
///
/// Whatever is not a whole record of the one kind that is expected ends it: messages then come through
/// sockets again. Who sent a record is what its sender says: processes of one user on one host are
/// believed, here as elsewhere.
///
/// Threading: one thread's, from `init` to `close`.
package final class PipeInbox {
    /// What the log says when one has ended.
    static let spoiledSentence =
        "something else than Convoy wrote to a pipe; messages go through sockets from now on"

    /// Records taken at once.
    private static let batch = 64

    /// What came, in order, and whether the inbox has ended by what came then.
    package struct Received {
        package var records: [PipeRecord] = []
        package var isSpoiled = false
    }

    private let kind: BulkKind
    private let memory: SharedPayload.Memory
    private let readEnd: Int32
    /// Never written to: while it is open, a writer that leaves does not end the pipe.
    private let writeEnd: Int32
    private var buffer = [UInt8](repeating: 0, count: batch * PipeRecord.byteCount)
    private var isOpen = true

    /// Nil where the system gives no pipe or no shared memory.
    ///
    /// - Parameter kind: of the messages that may come this way.
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

    /// What others open it by; nil when it is closed.
    package var place: SharedPayload.Memory? { isOpen ? memory : nil }

    /// What to wait for; nil when it is closed.
    var pollItem: PollItem? { isOpen ? PollItem(fileDescriptor: readEnd) : nil }

    package func close() {
        guard isOpen else { return }
        isOpen = false
        for descriptor in [readEnd, writeEnd, Int32(memory.descriptor)] where descriptor >= 0 {
            Glibc.close(descriptor)
        }
    }

    /// The records that are there, up to a bound.
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
