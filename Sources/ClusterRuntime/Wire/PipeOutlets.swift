import Buffers
import CLinux
import ClusterProtocol
import Glibc

/// The writing end of another process's `PipeInbox`.
///
/// Safety: the only pipe that is opened is one that a process of Convoy, of the same user,
/// describes in memory that no other process has written. So a peer cannot make this process write
/// anywhere else.
final class PipeOutlet {
    private let descriptor: Int32

    /// Opens the pipe of an inbox. Returns nil when there is no such inbox, or this process may not
    /// write to it.
    init?(_ memory: SharedPayload.Memory) {
        guard let fields = Self.fields(memory), fields[0] == PipeSign.magic,
            fields[1] == memory.token, let end = Int32(exactly: fields[2])
        else { return nil }
        let path = "/proc/\(memory.processIdentifier)/fd/\(end)"
        var target = [CChar](repeating: 0, count: 64)
        guard readlink(path, &target, target.count - 1) > 0,
            strcmp(target, "pipe:[\(fields[3])]") == 0
        else { return nil }
        let opened = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK)
        guard opened >= 0 else { return nil }
        var status = stat()
        guard fstat(opened, &status) == 0, UInt64(status.st_ino) == fields[3] else {
            close(opened)
            return nil
        }
        descriptor = opened
    }

    deinit { close(descriptor) }

    /// Returns the fields of an inbox's page; nil when the page cannot be read or is not an
    /// inbox's.
    private static func fields(_ memory: SharedPayload.Memory) -> [UInt64]? {
        guard SharedWindow.isThere(memory) else { return nil }
        let page = open(SharedWindow.path(memory), O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard page >= 0 else { return nil }
        defer { close(page) }
        var fields = [UInt64](repeating: 0, count: PipeSign.fieldCount)
        let byteCount = fields.count * 8
        guard convoy_is_sealed(page) == 1, pread(page, &fields, byteCount, 0) == byteCount else {
            return nil
        }
        return fields
    }

    /// The result of sending a record: done, the pipe is full, or its reader is gone.
    enum Outcome { case sent, full, gone }

    /// Writes a whole record, or nothing.
    func send(_ record: [UInt8]) -> Outcome {
        while true {
            if write(descriptor, record, record.count) == record.count { return .sent }
            if errno == EINTR { continue }
            return errno == EAGAIN ? .full : .gone
        }
    }
}

/// The inboxes of other processes that one thread writes to, found by the names that peers give.
///
/// The process must ignore SIGPIPE, because the reader of a pipe may be gone.
///
/// Threading: one thread only. At most `bound` outlets are kept. Those of processes that have ended
/// are dropped when another one is opened.
package struct PipeOutlets {
    private static let bound = 1024
    /// The outlets by the names of their inboxes; nil for an inbox that could not be opened or has
    /// gone.
    private var outlets: [SharedPayload.Memory: PipeOutlet?] = [:]

    /// Creates an empty set of outlets.
    package init() {}

    /// Sends a record.
    ///
    /// - Returns: False when the message must be sent another way, because the inbox is full, has
    ///   gone or cannot be opened.
    package mutating func send(
        _ header: BulkHeader, _ place: SharedPayload, _ precision: WirePrecision,
        from sender: PeerIdentity, to inbox: SharedPayload.Memory
    ) -> Bool {
        guard let outlet = outlet(to: inbox) else { return false }
        let header = BulkMessage.header(header, sharedIn: precision)
        switch outlet.send(PipeRecord.bytes(header, place, from: sender)) {
        case .sent: return true
        case .full: return false
        case .gone:
            outlets[inbox] = .some(nil)
            return false
        }
    }

    private mutating func outlet(to inbox: SharedPayload.Memory) -> PipeOutlet? {
        if let known = outlets[inbox] { return known }
        outlets = outlets.filter { SharedWindow.isThere($0.key) }
        if outlets.count >= Self.bound { outlets = [:] }
        let outlet = PipeOutlet(inbox)
        outlets[inbox] = .some(outlet)
        return outlet
    }
}
