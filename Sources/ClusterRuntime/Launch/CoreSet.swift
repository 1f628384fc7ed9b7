import CLinux
import ClusterProtocol
import RunFiles

/// Cores of this host, by the system's numbers.
package struct CoreSet: Equatable, Sendable, CustomStringConvertible {
    /// As many as a kernel counts.
    private static let maximumCount = 8192

    /// Neighbours are next to each other: the two threads of one core, the cores of one processor.
    package let cores: [Int]

    package init(cores: [Int]) { self.cores = cores }

    /// As taskset(1) and cpuset(7) write it: `0-3,8`.
    ///
    /// - Throws: `.usage` naming the flag when the text is something else.
    package init(_ text: String, flag: String) throws(Failure) {
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

    /// Those that the calling thread, and so usually its process, may run on; empty where the system
    /// does not say.
    package static var allowed: CoreSet {
        var words = [UInt64](repeating: 0, count: maximumCount / 64)
        guard convoy_get_cores(&words, Int32(words.count * 8)) > 0 else {
            return CoreSet(cores: [])
        }
        let cores = (0..<maximumCount).filter { words[$0 / 64] >> UInt64($0 % 64) & 1 == 1 }
        let places = cores.map { ([place($0, "physical_package_id"), place($0, "core_id"), $0], $0) }
        return CoreSet(cores: places.sorted { $0.0.lexicographicallyPrecedes($1.0) }.map(\.1))
    }

    private static func place(_ core: Int, _ name: String) -> Int {
        let path = "/sys/devices/system/cpu/cpu\(core)/topology/\(name)"
        let text = (try? FileSystem.read(path)).map { String(decoding: $0, as: UTF8.self) }
        return text?.split(separator: "\n").first.flatMap { Int($0) } ?? 0
    }

    /// Cuts it into neighbours, nearly as many each; none where there are fewer cores than parts.
    package func parts(_ count: Int) -> [CoreSet] {
        guard (1...max(1, cores.count)).contains(count), !cores.isEmpty else { return [] }
        return (0..<count).map { part in
            let range = cores.count * part / count..<cores.count * (part + 1) / count
            return CoreSet(cores: Array(cores[range]))
        }
    }

    /// Lets the calling thread, and those that it starts from now on, run on these cores alone; false
    /// where the system refuses, for instance because none of them is there.
    package func confine() -> Bool {
        var words = [UInt64](repeating: 0, count: Self.maximumCount / 64)
        for core in cores { words[core / 64] |= 1 << UInt64(core % 64) }
        return convoy_set_cores(words, Int32(words.count * 8)) == 0
    }

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
