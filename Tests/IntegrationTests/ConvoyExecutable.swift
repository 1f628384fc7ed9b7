import FoundationEssentials
import Glibc

/// The path of the built `convoy`: CONVOY_EXECUTABLE, or beside the program that runs these tests.
enum ConvoyExecutable {
    static let path: String = {
        if let override = ProcessInfo.processInfo.environment["CONVOY_EXECUTABLE"] {
            return override
        }
        for argument in CommandLine.arguments {
            // The test bundle is an argument of the tool that runs it, or is that tool.
            var directory = argument
            while let slash = directory.lastIndex(of: "/") {
                directory = String(directory[..<slash])
                let candidate = "\(directory)/convoy"
                if isExecutable(candidate) { return candidate }
            }
        }
        for mapped in mappedFiles where mapped.hasSuffix(".xctest") {
            let candidate = mapped[..<mapped.lastIndex(of: "/")!] + "/convoy"
            if isExecutable(String(candidate)) { return String(candidate) }
        }
        fatalError("cannot find the built convoy; name it in CONVOY_EXECUTABLE")
    }()

    private static func isExecutable(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
            && access(path, X_OK) == 0
    }

    /// The files that this process has mapped.
    private static var mappedFiles: [String] {
        guard let maps = try? String(contentsOfFile: "/proc/self/maps", encoding: .utf8) else {
            return []
        }
        return maps.split(separator: "\n").compactMap { line in
            line.firstIndex(of: "/").map { String(line[$0...]) }
        }
    }
}
