/// An error in a settings file, or in a flag of the command line.
///
/// The description names the file, the line, the key's whole path, what was expected and what was
/// found: `run.yaml:7: training.batch-size: expected a whole number from 1 to 65536, found "abc"`.
public struct SettingsError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The file's name as the user gave it; empty for a flag of the command line.
    public let fileName: String
    /// The line, from 1; nil when the error concerns the file as a whole.
    public let line: Int?
    /// The key's path, for instance `training.batch-size` or `layers[2].dense.units`; empty for the
    /// root.
    public let path: String
    /// What was expected and what was found.
    public let problem: String

    /// Creates an error at a place of a file.
    public init(fileName: String, line: Int? = nil, path: String = "", problem: String) {
        self.fileName = fileName
        self.line = line
        self.path = path
        self.problem = problem
    }

    /// The error in one line, as users see it.
    public var description: String {
        if fileName.isEmpty { return "\(path): \(problem)" }
        let place = line.map { "\(fileName):\($0)" } ?? fileName
        return path.isEmpty ? "\(place): \(problem)" : "\(place): \(path): \(problem)"
    }
}
