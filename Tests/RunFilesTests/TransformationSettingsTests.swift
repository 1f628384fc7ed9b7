import CounterRandom
import FoundationEssentials
import Partitions
import RunFiles
import StrictYAML
import TestSupport
import Testing

/// Every kind of transformations in run files and in checkpoints.
@Suite struct TransformationSettingsTests {
    /// Returns a value that the parameter can have.
    private static func value(
        _ parameter: TransformationParameter, _ random: inout RandomStream
    ) -> TransformationValue {
        func number(_ limits: ClosedRange<Double>) -> Double {
            let share = Double(random.next(below: 1001)) / 1000
            return min(
                limits.upperBound,
                limits.lowerBound + share * (limits.upperBound - limits.lowerBound))
        }
        switch parameter.kind {
        case .whole(let limits):
            return .whole(limits.lowerBound + random.next(below: limits.count))
        case .number(let limits): return .number(number(limits))
        case .floats: return .floats((0...random.next(below: 3)).map { _ in random.nextUniform() })
        case .range(let limits):
            let pair = [number(limits), number(limits)].sorted()
            return .range(pair[0], pair[1])
        case .size:
            return .size(height: 1 + random.next(below: 4096), width: 1 + random.next(below: 4096))
        case .word(let words): return .word(words[random.next(below: words.count)])
        }
    }

    /// Each kind with all its parameters, and with none that may be left out.
    private static func samples() -> [Transformation] {
        var random = RandomStream(seed: 3, purpose: .simulation, 40)
        return TransformationKind.all.flatMap { kind in
            (0..<6).map { round in
                let given = kind.parameters.filter {
                    round > 0 || !($0.isOptional || $0.fallback != nil)
                }
                return kind.transformation(
                    Dictionary(uniqueKeysWithValues: given.map { ($0.name, value($0, &random)) }))
            }
        }
    }

    private func read(_ yaml: String) throws -> [Transformation] {
        let file = try StrictDocument.parse(yaml, fileName: "run.yaml")
        let list = try file.list("transformations")
        return try list.map { try Transformation($0) }
    }

    @Test func everyKindReadsBack() throws {
        let samples = Self.samples()
        #expect(Set(samples.map(\.name)).count == TransformationKind.all.count)
        #expect(TransformationKind.all.count == 20)
        for sample in samples {
            #expect(
                try read("transformations:\n  - \(sample.yaml)\n") == [sample], "\(sample.yaml)")
            let text = TransformationText.encode([sample])
            #expect(try TransformationText.decode(text, file: "here") == [sample], "\(text)")
            #expect(TransformationText.canonical(text) == text)
        }
        var configuration = RunConfiguration()
        configuration.data.transformations = samples
        #expect(
            try RunConfiguration.parse(configuration.yaml, fileName: "run.yaml") == configuration)
    }

    @Test(arguments: [
        ("- resize: {size: 24}", "resize: {size: [24, 24], filter: bilinear}"),
        ("- mixup", "mixup: {alpha: 0.2, probability: 1.0}"),
        ("- mixup:", "mixup: {alpha: 0.2, probability: 1.0}"),
        (
            "- random-resized-crop: {}",
            "random-resized-crop: {scale: [0.08, 1.0], ratio: [0.75, 1.3333333333333333], filter: bilinear}"
        ),
        ("- brightness: {factor: [1, 1.5]}", "brightness: {factor: [1.0, 1.5]}"),
    ])
    func usualValues(yaml: String, written: String) throws {
        #expect(try read("transformations:\n  \(yaml)\n").map(\.yaml) == [written])
    }

    @Test(arguments: [
        (
            "random-crop: {padding: 65}",
            "[0].random-crop.padding: expected a whole number from 0 to 64"
        ),
        ("random-crop: {}", "[0].random-crop.padding: is required here, but missing"),
        ("random-crop: {padding: 4, fill: 1}", "[0].random-crop.fill: unknown key \"fill\""),
        ("brightness: {factor: 1}", "factor: expected two numbers [A, B] with 0.0 ≤ A ≤ B ≤ 100.0"),
        ("brightness: {factor: [1]}", "factor: expected two numbers"),
        ("brightness: {factor: [2, 1]}", "factor: expected two numbers"),
        ("mixup: {alpha: 0}", "alpha: expected a number from 0.01 to 100.0, found \"0\""),
        ("resize: {size: [1, 2, 3]}", "size: expected a number of pixels or [height, width]"),
        ("resize: {size: 5000}", "size: expected a whole number from 1 to 4096"),
        ("resize: {size: 5, filter: lanczos}", "expected one of nearest, box, bilinear, bicubic"),
        ("normalize: {mean: [], std: [1]}", "mean: expected a list of finite numbers"),
        ("normalize: {mean: [1e39], std: [1]}", "mean: expected a list of finite numbers"),
        ("cutout", "[0].size: is required here, but missing"),
        ("cutmx: {}", "unknown transformation \"cutmx\"; did you mean \"cutmix\"?"),
    ])
    func badSettings(yaml: String, problem: String) {
        let error = #expect(throws: SettingsError.self) {
            try read("transformations: [\(yaml)]")
        }
        #expect(error?.description.contains(problem) == true, "\(error?.description ?? "none")")
    }

    /// What a checkpoint of another hand may say.
    @Test(arguments: [
        #"[{}]"#, #"[{"rotate":{}}]"#, #"[{"randomCrop":{}}]"#,
        #"[{"randomCrop":{"padding":"4"}}]"#,
        #"[{"randomCrop":{"padding":4},"cutout":{"size":2}}]"#, #"[{"cutout":{"size":2,"x":1}}]"#,
        #"[{"brightness":{"factor":[1]}}]"#, #"[{"resize":{"size":7}}]"#, #"{"cutout":{"size":2}}"#,
    ])
    func textsThatAreNone(text: String) {
        #expect(throws: (any Error).self) { try TransformationText.decode(text, file: "here") }
    }

    /// A checkpoint of another hand may hold numbers that no run file can; a model refuses them.
    @Test(arguments: [
        #"[{"randomCrop":{"padding":-1}}]"#, #"[{"brightness":{"factor":[3,1]}}]"#,
        #"[{"resize":{"size":[0,5]}}]"#, #"[{"standardize":{"mean":[0,1],"deviation":[1,1]}}]"#,
        #"[{"mixup":{"alpha":0}}]"#,
    ])
    func numbersThatAreRefused(text: String) throws {
        let list = try TransformationText.decode(text, file: "here")
        #expect(throws: DataError.self) { try TestPreparation(list, shape: [1, 8, 8]) }
    }

    private static let article =
        URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().path
        + "/Sources/ClusterRuntime/ClusterRuntime.docc/Data.md"

    /// `CONVOY_REWRITE=1 swift test -c release --filter TransformationSettingsTests` writes it again.
    @Test func theArticleHasTheTable() throws {
        let found = String(decoding: try FileSystem.read(Self.article), as: UTF8.self)
        let expected = try #require(DataTables.renewed(in: found))
        if ProcessInfo.processInfo.environment["CONVOY_REWRITE"] == "1" {
            try FileSystem.replace(Self.article, with: expected)
        } else {
            #expect(found == expected, "the article Data is not what the registry says")
        }
    }
}
