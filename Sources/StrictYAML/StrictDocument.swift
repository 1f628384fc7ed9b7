import Glibc
import Yams

/// Reads the YAML of settings files: one document with a mapping at its root.
///
/// The following is refused, with the file and line: anchors and aliases, tags, duplicate keys,
/// keys that are not plain text, several documents, nesting beyond ``maximumDepth``, more keys and
/// values than ``maximumValueCount``, and text beyond ``maximumByteCount``.
public enum StrictDocument {
    /// The largest text that is read, in bytes.
    public static let maximumByteCount = 1 << 20

    /// The largest depth of nested lists and mappings.
    public static let maximumDepth = 16

    /// The largest number of keys, values, lists and mappings together.
    public static let maximumValueCount = 1 << 14

    /// Reads the file at `path`.
    ///
    /// - Throws: ``SettingsError`` when the file cannot be read, or is not strict YAML with a
    ///   mapping at its root.
    public static func load(file path: String) throws(SettingsError) -> StrictMapping {
        guard let text = String(validating: try readBytes(path), as: UTF8.self) else {
            throw SettingsError(fileName: path, problem: "is not UTF-8 text")
        }
        return try parse(text, fileName: path)
    }

    /// Reads `text`. An empty text gives an empty mapping.
    ///
    /// - Parameter fileName: Name of the text in errors.
    /// - Throws: ``SettingsError`` when the text is not strict YAML with a mapping at its root.
    public static func parse(_ text: String, fileName: String) throws(SettingsError)
        -> StrictMapping
    {
        if text.utf8.count > maximumByteCount { throw tooLarge(text.utf8.count, fileName) }
        // Some editors begin a file with a byte order mark.
        let text =
            text.unicodeScalars.first == "\u{FEFF}"
            ? String(text.unicodeScalars.dropFirst()) : text
        if let refusal = StrictEvents.refusal(of: text, fileName: fileName) { throw refusal }
        let root: Node?
        do {
            root = try Parser(yaml: text, encoding: .utf8).singleRoot()
        } catch let error as YamlError {
            throw SettingsError(error, fileName: fileName)
        } catch {
            throw SettingsError(fileName: fileName, problem: "is not YAML: \(error)")
        }
        guard let root else {
            return StrictMapping(fileName: fileName, line: 1, path: "", entries: [])
        }
        let value = StrictValue(node: root, fileName: fileName, path: "", fallbackLine: 1)
        if value.isEmpty {
            return StrictMapping(fileName: fileName, line: 1, path: "", entries: [])
        }
        return try value.mapping()
    }

    /// Returns the file's bytes. It reads at most one byte beyond the limit, whatever the path
    /// names.
    private static func readBytes(_ path: String) throws(SettingsError) -> [UInt8] {
        func failure() -> SettingsError {
            let reason = String(cString: strerror(errno))
            return SettingsError(fileName: path, problem: "cannot be read: \(reason)")
        }
        guard let file = fopen(path, "rbe") else { throw failure() }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: maximumByteCount + 1)
        let byteCount = fread(&bytes, 1, bytes.count, file)
        if ferror(file) != 0 { throw failure() }
        if byteCount > maximumByteCount {
            throw SettingsError(
                fileName: path, problem: "is larger than \(maximumByteCount) bytes of settings")
        }
        return Array(bytes[..<byteCount])
    }

    private static func tooLarge(_ byteCount: Int, _ fileName: String) -> SettingsError {
        SettingsError(
            fileName: fileName,
            problem: "expected at most \(maximumByteCount) bytes of settings, found \(byteCount)")
    }
}

extension SettingsError {
    /// Creates an error of one line from the YAML parser's error.
    fileprivate init(_ error: YamlError, fileName: String) {
        switch error {
        case .scanner(let context, let problem, let mark, _),
            .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            let text = [context?.text, problem].compactMap { $0 }.joined(separator: ", ")
            self.init(fileName: fileName, line: mark.line, problem: "is not valid YAML: \(text)")
        case .reader(let problem, let offset, _, _):
            let place = offset.map { " at byte \($0)" } ?? ""
            self.init(fileName: fileName, problem: "is not valid YAML: \(problem)\(place)")
        case .duplicatedKeysInMapping(let duplicates, let context):
            let keys = duplicates.sorted().map { "\"\($0)\"" }.joined(separator: ", ")
            self.init(
                fileName: fileName, line: context.mark.line,
                problem: "the key \(keys) is given more than once; keep one")
        default:
            self.init(fileName: fileName, problem: "is not valid YAML: \(error)")
        }
    }
}
