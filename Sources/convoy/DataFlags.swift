import ArgumentParser
import ClusterProtocol
import ClusterRuntime
import FoundationEssentials
import Partitions
import RunFiles

/// The flags that say where a worker finds its data.
struct DataFlags: ParsableArguments {
    @Flag(help: "Workers have all data streamed from the coordinator, even if it is on their host.")
    var streamData = false

    @Option(help: "Open data below this directory only, else stream it; may be repeated.")
    var dataRoot: [String] = []

    @Option(help: "Keep streamed partitions there (default: ~/.cache/convoy/partitions).")
    var cache: String?

    @Option(help: "Bytes of streamed partitions to keep.")
    var cacheBytes: Int = PartitionDiskCache.defaultByteLimit

    @Option(
        help: ArgumentHelp(
            "Bytes of partitions that a worker keeps in memory; it reads the others as it goes.",
            valueName: "bytes"))
    var dataMemory: Int = DataSet.defaultMemoryLimitByteCount

    /// Refuses flags that contradict one another or are out of range.
    private func check() throws(RunError) {
        if streamData, !dataRoot.isEmpty {
            throw .usage(
                "--stream-data and --data-root exclude each other: with the first no data of this host "
                    + "is opened")
        }
        guard cacheBytes >= 1 << 20 else {
            throw .usage("--cache-bytes: expected at least 1048576 (1 MiB), found \(cacheBytes)")
        }
        guard dataMemory >= 0 else {
            throw .usage("--data-memory: expected at least 0 bytes, found \(dataMemory)")
        }
        if let cache, cache.isEmpty { throw .usage("--cache: expected a directory, found nothing") }
    }

    /// Returns these flags as arguments for a worker that this process starts in this working
    /// directory.
    func arguments() throws(RunError) -> [String] {
        try check()
        var arguments = streamData ? ["--stream-data"] : []
        arguments += dataRoot.flatMap { ["--data-root", $0] }
        arguments += cache.map { ["--cache", $0] } ?? []
        if cacheBytes != PartitionDiskCache.defaultByteLimit {
            arguments += ["--cache-bytes", "\(cacheBytes)"]
        }
        if dataMemory != DataSet.defaultMemoryLimitByteCount {
            arguments += ["--data-memory", "\(dataMemory)"]
        }
        return arguments
    }

    /// Returns what the flags say to a worker in this process.
    func options() throws -> DataOptions {
        do throws(RunError) { try check() } catch { throw Terminal.fail(error) }
        var options = DataOptions()
        options.isAlwaysStreamed = streamData
        options.roots = dataRoot
        options.cacheDirectory = cache ?? Self.defaultCache
        options.cacheByteLimit = cacheBytes
        options.memoryByteLimit = dataMemory
        return options
    }

    /// The default cache of partitions: below `XDG_CACHE_HOME`, or below ~/.cache when that is not
    /// set. It is nil without a home directory.
    private static var defaultCache: String? {
        let environment = ProcessInfo.processInfo.environment
        let home = environment["HOME"].flatMap { $0.isEmpty ? nil : "\($0)/.cache" }
        let base = environment["XDG_CACHE_HOME"].flatMap { $0.hasPrefix("/") ? $0 : nil } ?? home
        return base.map { "\($0)/convoy/partitions" }
    }
}
