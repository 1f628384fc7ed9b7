/// The kinds of transformations.
enum TransformationRegistry {
    /// All kinds, one line each, in the order of the documents' table.
    static let all: [any ImageTransformation.Type] = [
        RandomCrop.self,
        RandomResizedCrop.self,
        CenterCrop.self,
        Resize.self,
        RandomHorizontalFlip.self,
        AlternatingFlip.self,
        RandomVerticalFlip.self,
        Brightness.self,
        Contrast.self,
        Saturation.self,
        Grey.self,
        Cutout.self,
        Mixup.self,
        Cutmix.self,
        Normalize.self,
        Standardize.self,
        Jitter.self,
        Scaling.self,
        Shift.self,
        ChannelDrop.self,
    ]

    /// The names in a run file.
    static let names = all.map { $0.name }

    /// Returns the kind of that name, or nil for an unknown name.
    static func kind(named name: String) -> (any ImageTransformation.Type)? {
        all.first { $0.name == name }
    }

    /// Returns the kind with that name in a checkpoint, or nil for an unknown name.
    static func kind(coded name: String) -> (any ImageTransformation.Type)? {
        all.first { $0.codingName == name }
    }
}

/// A kind of transformations, as those who read and write run files and documents need it.
package struct TransformationKind: Sendable {
    /// All kinds, in the order of the documents' table.
    package static let all = TransformationRegistry.all.map(TransformationKind.init)

    /// The names of all kinds in a run file, with commas.
    package static var names: String { TransformationRegistry.names.joined(separator: ", ") }

    private let type: any ImageTransformation.Type

    private init(_ type: any ImageTransformation.Type) { self.type = type }

    /// The name in a run file.
    package var name: String { type.name }
    /// What it does, in one sentence.
    package var summary: String { type.summary }
    /// The parameters, in the order in which they are written.
    package var parameters: [TransformationParameter] { type.parameters }
    /// Whether it changes training records only.
    package var isForTrainingOnly: Bool { !type.actsOnTestRecords }
    /// What it works on, in words.
    package var elements: String {
        switch type.elements {
        case .bytes: "bytes"
        case .floats: "floats"
        case .bytesOrFloats: "both"
        }
    }

    /// Returns the transformation of this kind with the given values, which are not checked.
    package func transformation(_ given: [String: TransformationValue]) -> Transformation {
        Transformation(type, given)
    }
}
