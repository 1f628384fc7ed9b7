import ClusterProtocol
import FoundationEssentials
import NeuralNetwork
import Partitions
import RunFiles
import TestSupport
import Testing

/// The table of settings, and the flags and files made from it.
@Suite struct SettingTests {
    @Test func keysAndFlagsAreUnique() {
        let keys = Setting.all.map(\.key)
        #expect(Set(keys).count == keys.count)
        let flags = Setting.all.compactMap(\.flag)
        #expect(Set(flags).count == flags.count)
        for setting in Setting.all {
            #expect(setting.summary.hasSuffix("."), "\(setting.key)")
            #expect(!setting.values.isEmpty, "\(setting.key)")
        }
    }

    /// The settings of a section stay together: otherwise the run file would name the section
    /// twice.
    @Test func sectionsStayTogether() {
        var seen: [String] = []
        for section in Setting.all.map(\.place.section) where section != seen.last {
            #expect(!seen.contains(section))
            seen.append(section)
        }
    }

    private func apply(_ arguments: String...) throws(RunError) -> RunConfiguration {
        var configuration = RunConfiguration()
        try SettingFlags(arguments).apply(to: &configuration)
        return configuration
    }

    @Test func flagsSetWhatTheySay() throws {
        let read = try apply(
            "--epochs", "3", "--data=idx:images", "--no-shared-memory", "--learning-rate", "0.5",
            "--optimizer", "sgd", "--nesterov", "--momentum=0.9", "--instruction-set", "avx2",
            "--epochs=4", "--seed", "7", "--keep-going", "--init", "start.safetensors")
        #expect(read.training.epochs == 4 && read.data.source == "idx:images")
        #expect(!read.cluster.sharedMemory && read.training.keepsGoing)
        #expect(read.optimizer == .sgd(SGD(learningRate: 0.5, momentum: 0.9, nesterov: true)))
        #expect(read.training.instructionSet == "avx2" && read.training.seed == 7)
        #expect(read.initial.file == "start.safetensors")
        #expect(try apply() == RunConfiguration())
    }

    /// Each setting reads the same from its flag and from the file.
    @Test func aFlagAndTheFileAgree() throws {
        var configuration = RunConfiguration()
        configuration.training.steps = 12
        configuration.cluster.fanIn = 3
        configuration.initial.file = "w.safetensors"
        configuration.optimizer = .sgd(SGD(learningRate: 0.25, momentum: 0.5, nesterov: true))
        configuration.data.source = "cifar10:there"
        for setting in Setting.all {
            guard let flag = setting.flag, let text = setting.inlineText(configuration) else {
                continue
            }
            let plain = text.hasPrefix("\"") ? String(text.dropFirst().dropLast()) : text
            let argument =
                setting.isSwitch ? (plain == "true" ? "--\(flag)" : "--no-\(flag)") : "--\(flag)=\(plain)"
            var read = RunConfiguration()
            if setting.key.hasPrefix("optimizer.") { read.optimizer = configuration.optimizer }
            try SettingFlags([argument]).apply(to: &read)
            #expect(setting.inlineText(read) == text, "\(argument)")
        }
    }

    @Test(arguments: [
        (["--epoch", "3"], "--epoch: unknown flag; did you mean --epochs?"),
        (["--bogus"], "--bogus: unknown flag"),
        (["--epochs"], "--epochs: expected a value (1 to 1000000), found none"),
        (["--epochs", "--seed"], "--epochs: expected a value (1 to 1000000), found none"),
        (["--epochs", "0"], "--epochs: expected a whole number from 1 to 1000000, found \"0\""),
        (["--seed=-1"], "--seed: expected a whole number from 0 to 18446744073709551615, found \"-1\""),
        (["--precision", "fp64"], "--precision: expected one of fp32, bf16, found \"fp64\""),
        (["--audit", "2"], "--audit: expected a number from 0 to 1, found \"2\""),
        (["--momentum", "0.9"], "--momentum: adam has no such setting"),
        (["--shared-memory=yes"], "--shared-memory: expected no value, found 'yes'"),
        (["--data", "photos"], "--data: data source: unknown form"),
        (["lenet"], "unexpected argument 'lenet'"),
    ])
    func badFlagsAreRefused(arguments: [String], problem: String) {
        var configuration = RunConfiguration()
        let failure = failure { try SettingFlags(arguments).apply(to: &configuration) }
        #expect(failure?.kind == .usage)
        #expect(failure?.text.hasPrefix(problem) == true, "\(failure?.text ?? "nothing thrown")")
    }

    @Test func helpNamesEveryFlag() {
        let help = SettingFlags.help
        for setting in Setting.all {
            guard let flag = setting.flag else { continue }
            #expect(help.contains("--\(setting.isSwitch ? "[no-]" : "")\(flag)"), "\(flag)")
        }
        #expect(!help.contains("transformations"))
        #expect(help.split(separator: "\n").allSatisfy { $0.count <= 78 })
    }

    // MARK: - Files made of the table

    private static let root = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().path

    /// `CONVOY_REWRITE=1 swift test -c release --filter SettingTests` writes these files again.
    @Test(arguments: [
        "Cluster/local.yaml", "Sources/ClusterRuntime/ClusterRuntime.docc/FilesAndSettings.md",
    ])
    func filesSayWhatTheTableSays(path: String) throws {
        let full = "\(Self.root)/\(path)"
        let found = String(decoding: try FileSystem.read(full), as: UTF8.self)
        let expected =
            path.hasSuffix(".yaml")
            ? SettingsText.runFile : try #require(SettingsText.renewingTable(in: found))
        if ProcessInfo.processInfo.environment["CONVOY_REWRITE"] == "1" {
            try FileSystem.replace(full, with: expected)
        } else {
            #expect(found == expected, "\(path) is not what the table says")
        }
    }

    @Test func theRunFileOfDefaultsIsTheDefaults() throws {
        let text = SettingsText.runFile
        #expect(try RunConfiguration.parse(text, fileName: "local.yaml") == RunConfiguration())
        // Settings that are commented out, because they have no default, parse as well.
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map {
            (line: Substring) -> String in
            let body: Substring = line.drop { $0 == " " }
            let isExample = Setting.all.contains { setting in
                setting.example != nil && body.hasPrefix("# \(setting.place.name): ")
            }
            return isExample ? line.replacing("# ", with: "", maxReplacements: 1).description : "\(line)"
        }
        let all = try RunConfiguration.parse(lines.joined(separator: "\n"), fileName: "all.yaml")
        #expect(all.training.steps == 1000 && all.cluster.fanIn == 32)
        #expect(all.data.transformations == [.randomCrop(padding: 4)])
    }
}
