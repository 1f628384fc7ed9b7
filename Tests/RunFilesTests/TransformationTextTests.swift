import Partitions
import RunFiles
import TestSupport
import Testing

/// The text of transformations, which processes and builds compare.
@Suite struct TransformationTextTests {
    private static let list: [Transformation] = [
        .standardize(mean: [0.4, 0.5], deviation: [0.25, 0.125]), .randomCrop(padding: 4),
        .randomHorizontalFlip,
    ]

    /// Written by one process and compared by another, so the order of keys must not vary.
    @Test func theTextIsOneAndTheSameEverywhere() throws {
        let text = TransformationText.encode(Self.list)
        #expect(
            text
                == #"[{"standardize":{"deviation":[0.25,0.125],"mean":[0.4,0.5]}},"#
                + #"{"randomCrop":{"padding":4}},{"randomHorizontalFlip":{}}]"#)
        #expect(try TransformationText.decode(text, file: "here") == Self.list)
    }

    @Test func anotherOrderOfKeysIsNoDifference() {
        let other = #"[{"standardize":{"mean":[0.5],"deviation":[0.25]}}]"#
        let own = TransformationText.encode([.standardize(mean: [0.5], deviation: [0.25])])
        #expect(TransformationText.canonical(other) == own)
        #expect(TransformationText.canonical("none") == "none")
    }

    /// A run begun by a build that wrote another order of keys is gone on with.
    @Test func changesLookThroughTheOrderOfKeys() throws {
        let material = try Sample.material(
            transformations: [.standardize(mean: [0.5], deviation: [0.25])])
        var earlier = Dictionary(material.decisions.map { ($0.key, $0.text) }) { $1 }
        earlier["data.transformations"] = #"[{"standardize":{"mean":[0.5],"deviation":[0.25]}}]"#
        #expect(material.changes(from: earlier, isComplete: true).isEmpty)
        earlier["data.transformations"] = #"[{"standardize":{"mean":[0.5],"deviation":[0.5]}}]"#
        #expect(
            material.changes(from: earlier, isComplete: true).map(\.key) == ["data.transformations"])
    }
}
