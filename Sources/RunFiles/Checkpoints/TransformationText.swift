import ClusterProtocol
import FoundationEssentials
import Partitions

/// Writes transformations as text into a checkpoint's metadata, so that a model is evaluated on
/// images that are prepared as in its training.
package enum TransformationText {
    /// Returns the JSON of a list of transformations. The text of equal lists is equal in all
    /// processes, which compare it.
    package static func encode(_ transformations: [Transformation]) -> String {
        let encoder = JSONEncoder()
        // The order of keys is another one in each process otherwise.
        encoder.outputFormatting = .sortedKeys
        // These are plain values, so encoding cannot fail.
        return (try? encoder.encode(transformations)).map { String(decoding: $0, as: UTF8.self) }
            ?? "[]"
    }

    /// Returns the text that this build writes for a list; a text that is no list stays as it is.
    package static func canonical(_ text: String) -> String {
        (try? decode(text, file: "")).map(encode) ?? text
    }

    /// Reads a list of transformations. Nil stands for an empty list.
    ///
    /// - Parameters:
    ///   - text: what a checkpoint says of its transformations.
    ///   - file: the name for error messages.
    package static func decode(_ text: String?, file: String) throws(RunError) -> [Transformation] {
        guard let text else { return [] }
        guard let list = try? JSONDecoder().decode([Transformation].self, from: Data(text.utf8))
        else {
            throw .checkpoint(
                "\(file): its metadata names transformations that are not known: \(text)")
        }
        return list
    }
}
