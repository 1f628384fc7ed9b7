import CLinux
import ClusterProtocol
import Glibc

/// Another process's shared memory, mapped for reading.
///
/// Safety: only memory that can never shrink is mapped, so that no read faults. Every offset that a
/// peer names is checked against the size of the memory. The content may change while a reader
/// copies it. The reader then holds meaningless floats; it notices this by the content number and
/// drops them.
package final class SharedWindow {
    /// The label of such memory in /proc. Files without this label are never opened, except pipes
    /// that such memory names.
    package static let label = "convoy"

    private let base: UnsafeMutableRawPointer
    private let byteCount: Int
    private let slotCount: Int

    /// Maps the memory for reading. Returns nil when there is no such memory, when its layout is
    /// not that of a slab, or when this process may not read it.
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

    /// Returns the path by which another process of this host opens the memory.
    package static func path(_ memory: SharedPayload.Memory) -> String {
        "/proc/\(memory.processIdentifier)/fd/\(memory.descriptor)"
    }

    /// Returns whether the process exists and has memory with this label under the descriptor.
    package static func isThere(_ memory: SharedPayload.Memory) -> Bool {
        var target = [CChar](repeating: 0, count: 64)
        guard readlink(path(memory), &target, target.count - 1) > 0 else { return false }
        return strncmp(target, "/memfd:\(label)", label.utf8.count + 7) == 0
    }

    /// Copies the payload.
    ///
    /// - Returns: False when the payload lies outside the memory, or when its slot holds other
    ///   content by now.
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

/// The windows of one thread, found by the memory names that peers send.
///
/// Threading: one thread uses one value. At most `bound` windows are kept; the least recently used
/// one is dropped first. When a new window is opened, the windows of processes that have ended are
/// dropped.
public struct SharedWindows {
    /// The result of a copy: done (`copied`), the slot holds other content by now (`stale`), or the
    /// memory cannot be read (`unavailable`).
    public enum Outcome: Sendable { case copied, stale, unavailable }

    private static let bound = 1024
    private var windows: [SharedPayload.Memory: (window: SharedWindow, lastUse: Int)] = [:]
    private var useCount = 0

    /// Creates an empty set of windows.
    public init() {}

    /// Copies a payload out of shared memory, unless the memory cannot be read or holds other
    /// content by now.
    ///
    /// - Parameters:
    ///   - payload: Place of the data, as the peer sent it.
    ///   - target: Buffer that receives the copy.
    ///   - element: Index of the first element of the target that is written.
    ///   - byteCount: Number of bytes to copy. By default the copy fills the rest of the target.
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
