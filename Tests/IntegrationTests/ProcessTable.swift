import ClusterRuntime
import Glibc
import RunFiles

/// What the kernel says about processes.
enum ProcessTable {
    /// Returns the processes with `text` in their command lines; every process of a run has its
    /// directory there.
    static func identifiers(mentioning text: String) -> [Int32] {
        FileSystem.names(in: "/proc").compactMap(Int32.init).filter { identifier in
            identifier != getpid() && words(identifier).contains { $0.contains(text) }
        }
    }

    /// Returns the processes of one role with `text` in their command lines.
    static func identifiers(_ role: String, mentioning text: String) -> [Int32] {
        identifiers(mentioning: text).filter { words($0).contains(role) }
    }

    static func isRunning(_ identifier: Int32) -> Bool {
        // A process that has ended and waits for its parent has no command line.
        !words(identifier).isEmpty
    }

    private static func words(_ identifier: Int32) -> [String] {
        let bytes = (try? FileSystem.read("/proc/\(identifier)/cmdline")) ?? []
        return bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
    }

    /// The peak resident memory of a process, in KiB.
    static func peakResidentKiB(_ identifier: Int32) -> Int? {
        guard let bytes = try? FileSystem.read("/proc/\(identifier)/status") else { return nil }
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n")
        where line.hasPrefix("VmHWM:") {
            return line.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first
                .flatMap { Int($0) }
        }
        return nil
    }

    /// The TCP ports at which a process listens.
    static func listeningPorts(_ identifier: Int32) -> Set<Int> {
        var inodes: Set<Substring> = []
        for name in FileSystem.names(in: "/proc/\(identifier)/fd") {
            var buffer = [CChar](repeating: 0, count: 128)
            guard readlink("/proc/\(identifier)/fd/\(name)", &buffer, 127) > 0 else { continue }
            let target = String(
                decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            if target.hasPrefix("socket:[") { inodes.insert(target.dropFirst(8).dropLast()) }
        }
        let table = (try? FileSystem.read("/proc/net/tcp")) ?? []
        var ports: Set<Int> = []
        for line in String(decoding: table, as: UTF8.self).split(separator: "\n").dropFirst() {
            let fields = line.split(separator: " ")
            // 0A is the state LISTEN.
            guard fields.count > 9, fields[3] == "0A", inodes.contains(fields[9]),
                let port = Int(fields[1].suffix(4), radix: 16)
            else { continue }
            ports.insert(port)
        }
        return ports
    }
}
