import ClusterProtocol
import Glibc
import NeuralNetwork

/// The memory that a process on this host can still allocate.
package enum HostMemory {
    /// The available memory in bytes, or nil where the host does not tell.
    ///
    /// It is the smallest of three amounts: the free memory of the system, the rest of the limit of
    /// this process, and the rest of the limit of its control group.
    package static var availableByteCount: Int? {
        [systemByteCount, processByteCount, groupByteCount].compactMap { $0 }.min()
    }

    /// Refuses an allocation that cannot succeed, before it is tried.
    ///
    /// A failed allocation would end the process without a message.
    ///
    /// - Parameters:
    ///   - byteCount: the memory that is needed, in bytes.
    ///   - what: the subject of the error message.
    /// - Throws: `.memory` when less memory is available.
    package static func require(_ byteCount: Int, for what: String) throws(RunError) {
        guard let available = availableByteCount, byteCount > available else { return }
        throw .memory(
            "\(what): expected at least \(mebibytes(byteCount)) MiB of memory for it, found "
                + "\(mebibytes(available)) MiB free on this host; make it smaller, or use a larger "
                + "host")
    }

    private static func mebibytes(_ byteCount: Int) -> Int { (byteCount + (1 << 20) - 1) >> 20 }

    /// The free memory of the system, in bytes. Swap counts: it is slow, but an allocation
    /// succeeds.
    private static var systemByteCount: Int? {
        guard let free = kibibytes("MemAvailable:", in: "/proc/meminfo") else { return nil }
        return (free + (kibibytes("SwapFree:", in: "/proc/meminfo") ?? 0)) << 10
    }

    /// The limit of this process on its address space (`ulimit -v`) less what is in use, in bytes.
    private static var processByteCount: Int? {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0,
            limit.rlim_cur < rlim_t(Int.max)
        else { return nil }
        let used = (kibibytes("VmSize:", in: "/proc/self/status") ?? 0) << 10
        return max(0, Int(limit.rlim_cur) - used)
    }

    /// The limit of the control group less what is in use, in bytes.
    ///
    /// The page cache of the group counts as free: the kernel drops it when memory is needed.
    private static var groupByteCount: Int? {
        let group = "/sys/fs/cgroup"
        guard let limit = number("\(group)/memory.max"), let used = number("\(group)/memory.current")
        else { return nil }
        let cached = ["active_file", "inactive_file"].compactMap {
            first($0, in: "\(group)/memory.stat")
        }
        return max(0, limit - used + cached.reduce(0, +))
    }

    private static func number(_ path: String) -> Int? {
        guard let bytes = try? FileSystem.read(path) else { return nil }
        return Int(String(decoding: bytes, as: UTF8.self).prefix { $0.isNumber })
    }

    private static func kibibytes(_ key: String, in path: String) -> Int? { first(key, in: path) }

    /// Returns the number after a word at the beginning of a line.
    private static func first(_ key: String, in path: String) -> Int? {
        guard let bytes = try? FileSystem.read(path) else { return nil }
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n")
        where line.hasPrefix("\(key) ") || line.hasPrefix("\(key)\t") {
            let words = line.split { $0 == " " || $0 == "\t" }
            return words.dropFirst().first.flatMap { Int($0) }
        }
        return nil
    }
}

extension RunMaterial {
    private var modelText: String {
        "model \(network.specification.name), \(network.parameters.elementCount) parameters"
    }

    /// The size of one flat fp32 vector of all parameters, in bytes.
    private var vectorByteCount: Int { network.parameters.elementCount * 4 }

    /// Refuses a model that is too large for the coordinator.
    ///
    /// The coordinator holds the weights, the optimizer state and the buffers for writing a
    /// checkpoint.
    ///
    /// - Throws: `.memory` when the host has too little memory.
    package func requireMemoryOfCoordinator() throws(RunError) {
        try HostMemory.require(
            vectorByteCount * (partCount + 2),
            for: modelText)
    }

    /// The number of microbatches that a worker reads ahead.
    package var microbatchesAhead: Int { min(batchPlan.virtualWorkerCount * 2, 256) }

    /// The memory that a worker needs: two versions of the weights, the microbatches that are read
    /// ahead, and what each compute thread takes.
    ///
    /// - Throws: ``BackendError`` for a network that the backend does not compute.
    package func workerByteCount(threadCount: Int) throws(BackendError) -> Int {
        let thread = try ComputeThreadMemory(
            network: network, backend: backend,
            configuration: engineConfiguration(instructionSet: nil),
            recordCount: batchPlan.microbatchCapacity)
        return 2 * vectorByteCount + microbatchesAhead * thread.microbatch
            + threadCount * thread.byteCount
    }

    /// Refuses a model that is too large for a worker.
    ///
    /// - Throws: `.memory` when the host has too little memory.
    package func requireMemoryOfWorker(threadCount: Int) throws(RunError) {
        let byteCount: Int
        // A network that the backend does not compute is refused when its engine is made.
        do throws(BackendError) {
            byteCount = try workerByteCount(threadCount: threadCount)
        } catch { return }
        try HostMemory.require(byteCount, for: "\(modelText), in \(threadCount) threads")
    }

    /// Returns the number of compute threads to start: `wanted`, or less where threads would never
    /// have work.
    ///
    /// A step has one share of work for each virtual worker, an evaluation has one for each chunk
    /// of test records.
    package func usefulThreadCount(_ wanted: Int) -> Int {
        min(wanted, max(1, tree.leafCount, evaluationChunkCount))
    }
}
