import ClusterProtocol
import FoundationEssentials
import Partitions

/// Transformations as text in a checkpoint's metadata, so that a model is evaluated on what it was
/// trained on.
package enum TransformationText {
    package static func encode(_ transformations: [Transformation]) -> String {
        // Plain values; encoding them cannot fail.
        (try? JSONEncoder().encode(transformations)).map { String(decoding: $0, as: UTF8.self) }
            ?? "[]"
    }

    package static func decode(_ text: String?, file: String) throws(Failure) -> [Transformation] {
        guard let text else { return [] }
        guard let list = try? JSONDecoder().decode([Transformation].self, from: Data(text.utf8))
        else { throw .data("\(file): its metadata names transformations that are not known: \(text)") }
        return list
    }
}
