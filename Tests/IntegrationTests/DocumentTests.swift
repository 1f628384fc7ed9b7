import ClusterRuntime
import Glibc
import RunFiles
import Testing

/// The paths, flags, settings and commands that the README and the documents name exist.
@Suite struct DocumentTests {
    private static let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

    /// Every document, with its text.
    private static let documents: [(name: String, text: String)] = {
        let catalogue = "Sources/ClusterRuntime/ClusterRuntime.docc"
        let names =
            ["README.md", "Cluster/local.yaml", "Cluster/hosts.example"]
            + FileSystem.names(in: "\(root)/\(catalogue)").filter { $0.hasSuffix(".md") }
            .map { "\(catalogue)/\($0)" }
        return names.map { name in
            (name, String(decoding: (try? FileSystem.read("\(root)/\(name)")) ?? [], as: UTF8.self))
        }
    }()

    @Test func thereAreDocuments() {
        #expect(Self.documents.count > 10)
        for document in Self.documents { #expect(!document.text.isEmpty, "\(document.name)") }
    }

    /// The paths below folders of the project, without the punctuation after them.
    private func paths(in text: String) -> Set<String> {
        let pattern = /(?:Sources|Scripts|Cluster|Tests)\/[A-Za-z0-9_.,*{}\/~+-]*[A-Za-z0-9*}]/
        return Set(text.matches(of: pattern).map { String($0.output) })
    }

    /// "a/{b,c}" as "a/b" and "a/c".
    private func expanded(_ path: String) -> [String] {
        guard let open = path.firstIndex(of: "{"), let close = path[open...].firstIndex(of: "}") else {
            return [path]
        }
        return path[path.index(after: open)..<close].split(separator: ",").flatMap {
            expanded("\(path[..<open])\($0)\(path[path.index(after: close)...])")
        }
    }

    @Test func pathsExist() {
        var count = 0
        for document in Self.documents {
            for path in paths(in: document.text).flatMap(expanded) {
                // READER stands for a name.
                if path.split(separator: "/").last?.allSatisfy(\.isUppercase) == true { continue }
                count += 1
                var found = glob_t()
                defer { globfree(&found) }
                // A Swift source may be named without its ending.
                let isThere = ["", ".swift", ".md"].contains {
                    glob("\(Self.root)/\(path)\($0)", 0, nil, &found) == 0
                }
                #expect(isThere, "\(document.name) names \(path)")
            }
        }
        #expect(count > 40)
    }

    // MARK: - Flags and commands

    private static let commands = [
        "train", "coordinator", "server", "worker", "evaluate", "predict", "features", "models", "partition",
        "data list", "data inspect", "data explain", "data take", "verify", "launch", "stop", "monitor",
        "status", "doctor", "keygen", "bench step", "bench exchange",
    ]

    /// The flags that a text names.
    private static func flags(in text: String) -> Set<String> {
        Set(text.matches(of: /--(?:\[no-\])?([a-z][a-z0-9-]*[a-z0-9])/).map { String($0.output.1) })
    }

    /// Flags of other programs that the documents show.
    private static let foreign: Set = [
        "filter", "skip-build", "build-tests", "static-swift-stdlib", "product", "scratch-path",
        "package-path", "batch", "signal", "build-arg", "entrypoint", "master", "now", "no-kill",
        // The example in <doc:Extending>.
        "warm-up-steps",
    ]

    /// Keys of logs and names of files that look like settings.
    private static let others: Set = [
        "cluster.generation", "cluster.placement", "optimizer.safetensors", "training.py",
    ]

    @Test func flagsExist() throws {
        var known = Self.foreign
        for command in Self.commands {
            let help = try Command.run(command.split(separator: " ").map(String.init) + ["--help"])
            #expect(help.exitCode == 0, "\(command)")
            known.formUnion(Self.flags(in: help.output))
        }
        known.formUnion(["version", "resume", "fresh-members", "flip-bit-in-step", "exit-with-parent"])
        for setting in Setting.all {
            guard let flag = setting.flag else { continue }
            known.formUnion(setting.isSwitch ? [flag, "no-\(flag)"] : [flag])
        }
        for folder in ["Scripts", "Scripts/bench", "Scripts/engines", "Scripts/docs", "Scripts/spark"] {
            for name in FileSystem.names(in: "\(Self.root)/\(folder)") {
                guard let bytes = try? FileSystem.read("\(Self.root)/\(folder)/\(name)") else { continue }
                known.formUnion(Self.flags(in: String(decoding: bytes, as: UTF8.self)))
            }
        }
        for document in Self.documents {
            let unknown = Self.flags(in: document.text).subtracting(known)
            #expect(unknown.isEmpty, "\(document.name) names \(unknown.sorted())")
        }
    }

    @Test func settingsExist() {
        let keys = Set(Setting.all.map(\.key))
        var count = 0
        for document in Self.documents {
            for match in document.text.matches(of: /`((?:data|training|optimizer|cluster)\.[a-z0-9-]+)`/) {
                count += 1
                let isKnown = keys.union(Self.others).contains(String(match.output.1))
                #expect(isKnown, "\(document.name) names \(match.output.1)")
            }
        }
        #expect(count > 30)
    }

    @Test func commandsExist() {
        let known = Set(Self.commands.map { String($0.prefix { $0 != " " }) })
        for document in Self.documents {
            for match in document.text.matches(of: /(?:`|^|\n)convoy ([a-z]+)/) {
                #expect(known.contains(String(match.output.1)), "\(document.name): convoy \(match.output.1)")
            }
        }
    }

    /// Links between documents lead to existing documents.
    @Test func linksExist() {
        let articles = Set(
            Self.documents.compactMap { $0.name.hasSuffix(".md") ? $0.name : nil }
                .map { String($0.split(separator: "/").last!.dropLast(3)) })
        for document in Self.documents {
            for match in document.text.matches(of: /<doc:([A-Za-z]+)/) {
                #expect(articles.contains(String(match.output.1)), "\(document.name): \(match.output.1)")
            }
        }
    }

    /// Each snippet that is compiled here stands in a document.
    @Test func snippetsAreThoseThatCompile() throws {
        let folder = "\(Self.root)/Tests/IntegrationTests/Snippets"
        let names = FileSystem.names(in: folder)
        #expect(!names.isEmpty)
        for name in names {
            let text = String(decoding: try FileSystem.read("\(folder)/\(name)"), as: UTF8.self)
            #expect(
                Self.documents.contains { $0.text.contains("```swift\n\(text)```") },
                "no document shows \(name)")
            #expect(text.split(separator: "\n").count <= 30)
        }
    }

    @Test func theReadmeIsShort() throws {
        let readme = try #require(Self.documents.first { $0.name == "README.md" })
        #expect(readme.text.split(separator: "\n", omittingEmptySubsequences: false).count <= 201)
    }
}
