import ClusterProtocol
import Glibc

/// What memory a process of this host can still have.
package enum HostMemory {
    /// The least of what the system has free, what the process may have, and what its control group
    /// may have; nil where nothing tells.
    package static var availableByteCount: Int? {
        [systemByteCount, processByteCount, groupByteCount].compactMap { $0 }.min()
    }

    /// Refuses before it is allocated what cannot be had: a failed allocation would end the process
    /// without a word.
    package static func require(_ byteCount: Int, for what: String) throws(Failure) {
        guard let available = availableByteCount, byteCount > available else { return }
        throw .data(
            "\(what): expected at least \(mebibytes(byteCount)) MiB of memory for it, found "
                + "\(mebibytes(available)) MiB free on this host; make it smaller, or use a larger "
                + "host")
    }

    private static func mebibytes(_ byteCount: Int) -> Int { (byteCount + (1 << 20) - 1) >> 20 }

    /// Swap counts: it is slow, but not refused.
    private static var systemByteCount: Int? {
        guard let free = kibibytes("MemAvailable:", in: "/proc/meminfo") else { return nil }
        return (free + (kibibytes("SwapFree:", in: "/proc/meminfo") ?? 0)) << 10
    }

    /// `ulimit -v`, less what is used of it.
    private static var processByteCount: Int? {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0,
            limit.rlim_cur < rlim_t(Int.max)
        else { return nil }
        let used = (kibibytes("VmSize:", in: "/proc/self/status") ?? 0) << 10
        return max(0, Int(limit.rlim_cur) - used)
    }

    /// What its files hold in memory makes room when that is wanted.
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

    /// The number behind a word at the beginning of a line.
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

    private var vectorByteCount: Int { network.parameters.elementCount * 4 }

    /// Refuses a model that the coordinator cannot hold: its state, and what is written of it.
    package func requireMemoryOfCoordinator() throws(Failure) {
        try HostMemory.require(
            vectorByteCount * (partCount + 2),
            for: modelText)
    }

    /// Refuses what a worker cannot hold: two versions of the weights, and of each thread its own
    /// weights, gradient, and the output of its largest layer.
    package func requireMemoryOfWorker(threadCount: Int) throws(Failure) {
        let output = network.layers.map { $0.outputShape.reduce(1, *) }.max() ?? 0
        let images = min(configuration.training.tileSize, batchPlan.microbatchCapacity)
        try HostMemory.require(
            vectorByteCount * (2 + 2 * threadCount) + output * 4 * images * threadCount,
            for: "\(modelText), in \(threadCount) threads")
    }

    /// More threads than there are shares of a step, or of an evaluation, would never have work.
    package func usefulThreadCount(_ wanted: Int) -> Int {
        min(wanted, max(1, tree.leafCount, evaluationChunkCount))
    }
}
