import ClusterProtocol
import FoundationEssentials

/// The format of a run directory and the build that wrote it last: the file `format.json`.
///
/// A reader accepts its own format and older ones. A directory without the file is of format 1 and of
/// an unknown build.
public struct RunFormat: Codable, Hashable, Sendable {
    /// The newest format, which this build reads and writes.
    public static let newest = 1

    /// The number of the format.
    public var format: Int
    /// The build that wrote to the directory last, as `HostFacts.build`; nil when it is unknown.
    public var build: String?

    /// Creates a format.
    public init(format: Int, build: String?) {
        self.format = format
        self.build = build
    }

    /// The format and the build of this process.
    public static var own: RunFormat { RunFormat(format: newest, build: HostFacts.build) }

    /// Reads the format of a run directory.
    ///
    /// - Throws: `.runDirectory` when the file is malformed, or when the format is newer than this
    ///   build's.
    public static func read(_ directory: RunDirectory) throws(RunError) -> RunFormat {
        let path = directory.format
        guard FileSystem.exists(path) else { return RunFormat(format: 1, build: nil) }
        let bytes = try FileSystem.read(path, atMost: 4096)
        guard let found = try? JSONDecoder().decode(RunFormat.self, from: Data(bytes)),
            found.format >= 1
        else {
            throw .runDirectory(
                "\(path): expected {\"format\": NUMBER, \"build\": TEXT}, found something else")
        }
        guard found.format <= newest else {
            throw .runDirectory(
                "\(path): expected a run directory of format 1 to \(newest), found format "
                    + "\(found.format), of build \(found.build ?? "unknown"); use that build")
        }
        return found
    }

    /// The content of the file.
    public var json: String {
        let build = build.map { ", \"build\": \(JSONText.string($0))" } ?? ""
        return "{\"format\": \(format)\(build)}\n"
    }
}
