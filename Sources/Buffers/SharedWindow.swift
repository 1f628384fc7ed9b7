import CLinux
import ClusterProtocol
import Glibc

/// Another process's shared memory, mapped for reading.
///
/// Safety: only memory that can never shrink is mapped, so that no read faults, and every offset
/// that a peer names is checked against its size. Its content may change under a reader, who then
/// has floats that mean nothing, notices by the content number, and drops them.
package final class SharedWindow {
    /// What the memory is called in /proc; nothing else is ever opened, but for pipes that such memory
    /// names.
    package static let label = "convoy"

    private let base: UnsafeMutableRawPointer
    private let byteCount: Int
    private let slotCount: Int

    /// Nil when there is no such memory, it is not as it should be, or this process may not read it.
    package init?(_ memory: SharedPayload.Memory) {
        guard Self.isThere(memory) else { return nil }
        let descriptor = Glibc.open(Self.path(memory), O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var status = stat()
        guard convoy_is_sealed(descriptor) == 1, fstat(descriptor, &status) == 0,
            let size = Int(exactly: status.st_size), size >= SlabLayout.dataOffset(slotCount: 1)
        else { return nil }
        let address = mmap(nil, size, PROT_READ, MAP_SHARED, descriptor, 0)
        guard let address, address != MAP_FAILED else { return nil }
        base = address
        byteCount = size
        let count = base.load(fromByteOffset: 16, as: UInt64.self)
        slotCount = Int(exactly: count) ?? 0
        guard base.load(as: UInt64.self) == SlabLayout.magic,
            base.load(fromByteOffset: 8, as: UInt64.self) == memory.token,
            (1...size / 64).contains(slotCount),
            SlabLayout.dataOffset(slotCount: slotCount) <= size
        else { return nil }
    }

    deinit { munmap(base, byteCount) }

    package static func path(_ memory: SharedPayload.Memory) -> String {
        "/proc/\(memory.processIdentifier)/fd/\(memory.descriptor)"
    }

    /// Whether the process is there and has memory of this kind under the descriptor.
    package static func isThere(_ memory: SharedPayload.Memory) -> Bool {
        var target = [CChar](repeating: 0, count: 64)
        guard readlink(path(memory), &target, target.count - 1) > 0 else { return false }
        return strncmp(target, "/memfd:\(label)", label.utf8.count + 7) == 0
    }

    /// Copies the payload; false when it is not there, or not there any more.
    package func copy(_ payload: SharedPayload, to target: UnsafeMutableRawBufferPointer) -> Bool {
        guard (0..<slotCount).contains(payload.slot), payload.byteOffset.isMultiple(of: 4),
            payload.byteOffset >= SlabLayout.dataOffset(slotCount: slotCount),
            payload.byteOffset <= byteCount - target.count, let destination = target.baseAddress
        else { return false }
        destination.copyMemory(from: base + payload.byteOffset, byteCount: target.count)
        let content = (base + SlabLayout.contentOffset(slot: payload.slot))
            .assumingMemoryBound(to: UInt64.self)
        return convoy_sequence(content) == payload.content
    }
}

/// The windows of one thread, found by what peers name them.
///
/// Threading: one thread's. At most `bound` are kept, the longest unused goes first; those of
/// processes that are gone are dropped when another is opened.
public struct SharedWindows {
    public enum Outcome: Sendable { case copied, stale, unavailable }

    private static let bound = 1024
    private var windows: [SharedPayload.Memory: (window: SharedWindow, lastUse: Int)] = [:]
    private var useCount = 0

    public init() {}

    /// Copies a payload out of shared memory, unless the memory cannot be read or holds something
    /// else by now.
    ///
    /// - Parameters:
    ///   - element: where it goes to in the target.
    ///   - byteCount: how much is copied; as much as the target has room for unless told.
    public mutating func copy(
        _ payload: SharedPayload, to target: FloatBuffer, at element: Int = 0,
        byteCount: Int? = nil
    ) -> Outcome {
        guard let window = window(of: payload.memory) else { return .unavailable }
        let room = (target.count - element) * 4
        let byteCount = byteCount ?? room
        precondition(byteCount <= room, "copy beyond the buffer's end")
        let bytes = UnsafeMutableRawBufferPointer(
            start: target.pointer + element, count: byteCount)
        return window.copy(payload, to: bytes) ? .copied : .stale
    }

    private mutating func window(of memory: SharedPayload.Memory) -> SharedWindow? {
        useCount += 1
        if let window = windows[memory]?.window {
            windows[memory]?.lastUse = useCount
            return window
        }
        guard let window = SharedWindow(memory) else { return nil }
        windows = windows.filter { SharedWindow.isThere($0.key) }
        if windows.count >= Self.bound,
            let oldest = windows.min(by: { $0.value.lastUse < $1.value.lastUse })?.key
        {
            windows[oldest] = nil
        }
        windows[memory] = (window, useCount)
        return window
    }
}
