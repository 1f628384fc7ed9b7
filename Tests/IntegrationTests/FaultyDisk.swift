import ClusterHosts
import ClusterRuntime
import Glibc
import TestSupport
import Testing

/// A directory whose disk hangs or is full on demand, for the processes of one command.
/// `Scripts/bench/faulty_disk.c` is what makes it so.
struct FaultyDisk {
    private let library: String
    private let state: String
    private let directory: String

    /// Compiles the library.
    ///
    /// - Parameter directory: the directory with the faulty disk, which need not exist yet.
    init(_ directory: String, in temporary: TemporaryDirectory) throws {
        self.directory = directory
        library = "\(temporary.path)/faulty_disk.so"
        state = "\(temporary.path)/faulty-disk"
        var source = #filePath
        for _ in 0..<3 { source = String(source[..<source.lastIndex(of: "/")!]) }
        let compiler = try ChildProcess(
            name: "clang", executable: "/usr/bin/env",
            arguments: [
                "clang", "-shared", "-fPIC", "-O1", "-o", library,
                "\(source)/Scripts/bench/faulty_disk.c", "-ldl",
            ], output: "\(temporary.path)/clang.out")
        try #require(compiler.wait(within: .seconds(60)) == .exited(0))
    }

    /// The environment of a command on this disk.
    var environment: [String: String] {
        ["FAULTY_DISK": directory, "FAULTY_DISK_STATE": state, "LD_PRELOAD": library]
    }

    func hang() throws { try set("block") }

    /// Makes every write fail for lack of room.
    func fill() throws { try set("full") }

    func recover() {
        for name in ["block", "full"] { unlink("\(state).\(name)") }
    }

    private func set(_ name: String) throws {
        let descriptor = open("\(state).\(name)", O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
        try #require(descriptor >= 0)
        close(descriptor)
    }
}
