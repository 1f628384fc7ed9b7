import Glibc

/// A pattern of paths: what glob(3) takes, and braces as in `shard-{000..011}.tar` and
/// `{train,test}.tar`.
struct ShardPattern {
    /// The largest number of paths that braces stand for, and of files that a pattern finds.
    static let maximumCount = 1 << 17
    private static let maximumDepth = 8

    /// The directory before the first part with a wildcard or brace.
    let root: String
    private let text: String

    init(_ text: String) {
        self.text = text
        let plain = text.prefix { !"*?[{".contains($0) }
        let folder = plain.lastIndex(of: "/").map { String(plain[..<$0]) }
        root = folder.map { $0.isEmpty ? "/" : $0 } ?? "."
    }

    /// Returns the files, by their paths below the root, in the order of the bytes of their paths.
    ///
    /// - Throws: `unreadable` when no file fits a pattern; `badSetting` for too large a pattern.
    func files() throws(DataError) -> FileList {
        var paths: [[UInt8]] = []
        for pattern in try Self.expand(text) {
            paths += try Self.find(pattern)
            guard paths.count <= Self.maximumCount else { throw tooMany() }
        }
        let prefix = root == "." ? 0 : root == "/" ? 1 : root.utf8.count + 1
        paths.sort { $0.lexicographicallyPrecedes($1) }
        var list = FileList(root: root)
        for (index, path) in paths.enumerated() where index == 0 || path != paths[index - 1] {
            list.append(path.dropFirst(prefix))
        }
        return list
    }

    private func tooMany() -> DataError {
        DataError(
            .badSetting, file: text, what: "files of the pattern",
            expected: "at most \(Self.maximumCount)", found: "more")
    }

    /// Returns the paths that fit a pattern without braces.
    private static func find(_ pattern: String) throws(DataError) -> [[UInt8]] {
        // A path with a bracket in it is taken as it is.
        if access(pattern, F_OK) == 0 { return [Array(pattern.utf8)] }
        var result = glob_t()
        let status = glob(pattern, 0, nil, &result)
        defer { globfree(&result) }
        guard status == 0 else {
            let reason =
                switch status {
                case GLOB_NOMATCH: "none"
                case GLOB_NOSPACE: "too many for the memory"
                default: "a directory that cannot be read"
                }
            throw DataError(
                .unreadable, file: pattern, what: "files of the pattern", expected: "at least 1",
                found: reason, advice: "check the pattern; put it in quotes in a shell")
        }
        return (0..<Int(result.gl_pathc)).compactMap { index in
            result.gl_pathv[index].map { path in
                Array(
                    UnsafeRawBufferPointer(start: path, count: strlen(path)))
            }
        }
    }

    /// Returns the patterns that a pattern with braces stands for.
    static func expand(_ text: String) throws(DataError) -> [String] {
        guard let patterns = expand(Array(text), depth: 0) else {
            throw DataError(
                .badSetting, file: text, what: "braces of the pattern",
                expected:
                    "at most \(maximumCount) paths, and \(maximumDepth) braces in one another",
                found: "more")
        }
        return patterns.map { String($0) }
    }

    private static func expand(_ text: [Character], depth: Int) -> [[Character]]? {
        guard depth <= maximumDepth else { return nil }
        var results: [[Character]] = [[]]
        var index = 0
        while index < text.count {
            guard text[index] == "{", let end = closing(text, index) else {
                for place in results.indices { results[place].append(text[index]) }
                index += 1
                continue
            }
            let inner = Array(text[index + 1..<end])
            var choices: [[Character]] = []
            let parts = split(inner)
            if parts.count > 1 {
                for part in parts {
                    guard let more = expand(part, depth: depth + 1) else { return nil }
                    choices += more
                }
            } else if let range = range(String(inner)) {
                choices = range.map { Array($0) }
            } else {
                guard let more = expand(inner, depth: depth + 1) else { return nil }
                choices = more.map { ["{"] + $0 + ["}"] }
            }
            guard results.count * choices.count <= maximumCount else { return nil }
            results = results.flatMap { result in choices.map { result + $0 } }
            index = end + 1
        }
        return results
    }

    /// Returns the place of the brace that closes the one at `start`; nil when there is none.
    private static func closing(_ text: [Character], _ start: Int) -> Int? {
        var depth = 0
        for index in start..<text.count {
            if text[index] == "{" { depth += 1 }
            if text[index] == "}" {
                depth -= 1
                if depth == 0 { return index }
            }
        }
        return nil
    }

    /// Splits at commas outside of braces.
    private static func split(_ text: [Character]) -> [[Character]] {
        var parts: [[Character]] = [[]]
        var depth = 0
        for character in text {
            if character == "{" { depth += 1 }
            if character == "}" { depth -= 1 }
            if character == ",", depth == 0 {
                parts.append([])
            } else {
                parts[parts.count - 1].append(character)
            }
        }
        return parts
    }

    /// Returns the numbers of a range such as 000..011, with as many digits as its longer end if
    /// one of the ends begins with a zero; nil for another text or too long a range.
    private static func range(_ text: String) -> [String]? {
        let ends = text.split(separator: "..", omittingEmptySubsequences: false)
        guard ends.count == 2, let first = Int(ends[0]), let last = Int(ends[1]),
            first >= 0, last >= 0, ends.allSatisfy({ $0.count <= 18 && $0.first != "+" }),
            abs(last - first) < maximumCount
        else { return nil }
        let isPadded = ends.contains { $0.count > 1 && $0.first == "0" }
        let width = isPadded ? max(ends[0].count, ends[1].count) : 0
        let numbers = first <= last ? Array(first...last) : (last...first).reversed()
        return numbers.map { number in
            let digits = "\(number)"
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
    }
}
