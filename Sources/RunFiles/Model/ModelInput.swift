import ClusterProtocol
import FoundationEssentials
import Partitions
import Pictures
import StrictYAML

/// What a model keeps of the data that it was trained on: how a record becomes its input, and what
/// its outputs are called.
public struct ModelInput: Sendable, Hashable {
    /// The transformations of the training images. Those that are not random also apply to test
    /// records and predicted images.
    public var transformations: [Transformation] = []
    /// The names of the classes, in the order of the outputs; nil where they are not known.
    public var classNames: [String]?
    /// How the file of a picture becomes a record, with its size and channels; nil for a model of
    /// records that are no pictures.
    public var image: ImageOptions?

    /// Creates an input that knows nothing.
    public init() {}

    /// Creates the input of a model that is trained with some settings on some data.
    init(_ configuration: RunConfiguration, _ data: DataSummary) {
        transformations = configuration.data.transformations
        classNames = data.classNames
        let shape = data.storedShape ?? data.shape
        guard data.holdsBytes == true, shape.count == 3, shape[0] == 1 || shape[0] == 3 else { return }
        var image = configuration.data.options.image
        image.picture.size = PictureOptions.Size(height: shape[1], width: shape[2])
        image.picture.channels = shape[0]
        image.badRecords = .fail
        image.allowsEmptyClasses = false
        self.image = image
    }

    // MARK: Metadata of a model's file

    private static let transformationsKey = "transformations"
    private static let classNamesKey = "class_names"
    private static let imageKey = "image"

    /// The entries of a safetensors file's metadata.
    var metadata: [String: String] {
        var metadata = [Self.transformationsKey: TransformationText.encode(transformations)]
        metadata[Self.classNamesKey] = classNames.map {
            "[\($0.map(JSONText.string).joined(separator: ","))]"
        }
        metadata[Self.imageKey] = image.flatMap(\.yaml)
        return metadata
    }

    /// Reads what ``metadata`` wrote.
    ///
    /// - Parameter file: the name for error messages.
    init(metadata: [String: String], file: String) throws(RunError) {
        transformations = try TransformationText.decode(
            metadata[Self.transformationsKey], file: file)
        if let text = metadata[Self.classNamesKey] {
            guard let names = try? JSONDecoder().decode([String].self, from: Data(text.utf8)),
                names.count <= 65_536
            else {
                throw .checkpoint("\(file): its metadata names classes that are no list of names")
            }
            classNames = names
        }
        if let text = metadata[Self.imageKey] {
            do {
                let document = try StrictDocument.parse("image: \(text)", fileName: file)
                image = try ImageOptions(reading: document.requiredValue("image"))
            } catch {
                throw .checkpoint("\(file): its metadata says of pictures what is not known: \(error)")
            }
        }
    }

    /// Returns the name of a class: its own, or its number.
    public func name(ofClass label: Int) -> String {
        guard let classNames, classNames.indices.contains(label) else { return "\(label)" }
        return classNames[label]
    }
}
