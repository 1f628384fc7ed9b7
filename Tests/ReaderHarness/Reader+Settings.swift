import ClusterHosts
import ClusterRuntime
import NeuralNetwork
import RunFiles
import StrictYAML

/// Readers of files that people write.
extension Reader {
    static let ofSettings: [Reader] = [
        Reader("yaml", "StrictDocument: a settings file of any keys", seeds: Seeds.yaml) { bytes in
            guard let text = String(validating: bytes, as: UTF8.self) else { return .refused }
            let mapping = try StrictDocument.parse(text, fileName: "settings.yaml")
            var valueCount = 0
            try visit(mapping, &valueCount)
            return .taken
        },
        Reader("run-file", "RunConfiguration: a run file", seeds: Seeds.runFile) { bytes in
            guard let text = String(validating: bytes, as: UTF8.self) else { return .refused }
            let configuration = try RunConfiguration.parse(text, fileName: "run.yaml")
            let again = try ReaderFlaw.reread("run file") {
                try RunConfiguration.parse(configuration.yaml, fileName: "run.yaml")
            }
            try ReaderFlaw.require(again, equals: configuration, "run file")
            _ = try? configuration.validate()
            return .taken
        },
        Reader("model-file", "ModelSpecification: layers of a network", seeds: Seeds.modelFile) {
            let bytes = $0
            guard let text = String(validating: bytes, as: UTF8.self) else { return .refused }
            let model = try modelFile(text)
            let again = try ReaderFlaw.reread("model file") { try modelFile(model.yaml) }
            try ReaderFlaw.require(again, equals: model, "model file")
            return .taken
        },
        Reader(
            "cluster-file", "ClusterFile: hosts and their roles", seeds: Seeds.clusterFile
        ) { bytes in
            let file = try ClusterFile(Array(bytes), fileName: "hosts")
            for process in file.plan.prefix(64) {
                try ReaderFlaw.require(
                    process.line.split(separator: "\t", omittingEmptySubsequences: false).count
                        == 8,
                    "expected eight fields, found \(process.line.debugDescription)")
            }
            return .taken
        },
    ]

    private static func modelFile(_ text: String) throws -> ModelSpecification {
        try ModelSpecification(
            name: "model", mapping: StrictDocument.parse(text, fileName: "model.yaml"))
    }

    /// Reads every value in every way.
    private static func visit(_ mapping: StrictMapping, _ valueCount: inout Int) throws {
        for key in mapping.keys {
            if let value = mapping.value(key) { try visit(value, &valueCount) }
        }
        try mapping.finish()
    }

    private static func visit(_ value: StrictValue, _ valueCount: inout Int) throws {
        valueCount += 1
        // Without aliases nothing is repeated, so a document cannot have more values than bytes.
        try ReaderFlaw.require(
            valueCount <= StrictDocument.maximumByteCount, "more values than bytes")
        _ = try? value.string()
        _ = try? value.integer(in: -5...5)
        _ = try? value.unsignedInteger()
        _ = try? value.double()
        _ = try? value.boolean()
        _ = try? value.oneOf(["a", "b"])
        if value.isList { for element in try value.list() { try visit(element, &valueCount) } }
        if value.isMapping { try visit(try value.mapping(), &valueCount) }
    }
}
