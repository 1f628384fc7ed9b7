import CLinux
import ClusterProtocol
import RunFiles

/// A set of this host's processor cores, by the system's numbers.
package struct CoreSet: Equatable, Sendable, CustomStringConvertible {
    /// The highest number of cores that a Linux kernel supports.
    private static let maximumCount = 8192

    /// The cores' numbers. In `allowed`, neighbours stand next to each other: the two threads of a
    /// core, and the cores of a processor.
    package let cores: [Int]

    /// Creates a set from the cores' numbers.
    package init(cores: [Int]) { self.cores = cores }

    /// Reads a set in the format of taskset(1) and cpuset(7): `0-3,8`.
    ///
    /// - Throws: `.usage`, with the flag, when the text has another format or a number that is too
    ///   high.
    package init(_ text: String, flag: String) throws(RunError) {
        var cores: Set<Int> = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let ends = part.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
            guard (1...2).contains(ends.count), let first = ends[0], let last = ends[ends.count - 1],
                0 <= first, first <= last, last < Self.maximumCount
            else {
                throw .usage("\(flag): expected numbers of cores such as 0-3,8, found \(text)")
            }
            cores.formUnion(first...last)
        }
        self.cores = cores.sorted()
    }

    /// The cores on which the calling thread may run, which usually are those of its process; empty
    /// where the system does not say.
    package static var allowed: CoreSet {
        var words = [UInt64](repeating: 0, count: maximumCount / 64)
        guard convoy_get_cores(&words, Int32(words.count * 8)) > 0 else {
            return CoreSet(cores: [])
        }
        let cores = (0..<maximumCount).filter { words[$0 / 64] >> UInt64($0 % 64) & 1 == 1 }
        let places = cores.map { ([place($0, "physical_package_id"), place($0, "core_id"), $0], $0) }
        return CoreSet(cores: places.sorted { $0.0.lexicographicallyPrecedes($1.0) }.map(\.1))
    }

    /// Returns a number from the kernel's description of a core's place; 0 when it is not known.
    private static func place(_ core: Int, _ name: String) -> Int {
        let path = "/sys/devices/system/cpu/cpu\(core)/topology/\(name)"
        let text = (try? FileSystem.read(path)).map { String(decoding: $0, as: UTF8.self) }
        return text?.split(separator: "\n").first.flatMap { Int($0) } ?? 0
    }

    /// Divides the set into parts of neighbouring cores, of nearly equal size; returns no part when
    /// there are fewer cores than parts.
    package func parts(_ count: Int) -> [CoreSet] {
        guard (1...max(1, cores.count)).contains(count), !cores.isEmpty else { return [] }
        return (0..<count).map { part in
            let range = cores.count * part / count..<cores.count * (part + 1) / count
            return CoreSet(cores: Array(cores[range]))
        }
    }

    /// Restricts the calling thread, and the threads that it starts from now on, to these cores.
    ///
    /// - Returns: False when the system refuses, for instance because the host has none of the cores.
    package func confine() -> Bool {
        var words = [UInt64](repeating: 0, count: Self.maximumCount / 64)
        for core in cores { words[core / 64] |= 1 << UInt64(core % 64) }
        return convoy_set_cores(words, Int32(words.count * 8)) == 0
    }

    /// The set in the format of taskset(1): `0-3,8`.
    package var description: String {
        var ranges: [(first: Int, last: Int)] = []
        for core in cores.sorted() {
            if let last = ranges.last?.last, core == last + 1 {
                ranges[ranges.count - 1].last = core
            } else {
                ranges.append((core, core))
            }
        }
        return ranges.map { $0.first == $0.last ? "\($0.first)" : "\($0.first)-\($0.last)" }
            .joined(separator: ",")
    }
}
