import Partitions
import StrictYAML

extension Transformation {
    /// Reads an entry of the run file's list of transformations.
    package init(_ value: StrictValue) throws(SettingsError) {
        let entry = try value.mapping()
        guard entry.keys.count == 1, let kind = entry.keys.first else {
            throw value.expected("one transformation, as in `- random-crop: {padding: 4}`")
        }
        let settings = try entry.mapping(kind)
        switch kind {
        case "standardize":
            var numbers: [[Float]] = []
            for key in ["mean", "deviation"] {
                var list: [Float] = []
                for number in try settings.list(key, required: true) {
                    list.append(Float(try number.double()))
                }
                numbers.append(list)
            }
            self = .standardize(mean: numbers[0], deviation: numbers[1])
        case "random-horizontal-flip": self = .randomHorizontalFlip
        case "random-crop":
            self = .randomCrop(padding: try settings.integer("padding", in: 1...64))
        default:
            throw value.error(
                StrictMapping.unknownText(
                    "transformation", kind,
                    allowed: ["standardize", "random-horizontal-flip", "random-crop"]))
        }
        try settings.finish()
        try entry.finish()
    }

    /// The entry of the run file's list.
    package var yaml: String {
        switch self {
        case .standardize(let mean, let deviation):
            "standardize: {mean: \(mean), deviation: \(deviation)}"
        case .randomHorizontalFlip: "random-horizontal-flip: {}"
        case .randomCrop(let padding): "random-crop: {padding: \(padding)}"
        }
    }
}
