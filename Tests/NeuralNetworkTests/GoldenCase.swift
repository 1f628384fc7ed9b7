import FoundationEssentials
import NeuralNetwork
import StrictYAML
import Testing

/// One case of a golden file, which a script in Scripts/golden wrote with PyTorch.
struct GoldenCase: CustomTestStringConvertible, Sendable {
    let name: String
    let settings: [String: Double]
    /// The model of the case, if it has one.
    let specification: ModelSpecification?
    /// What the case's parameters start from, by name.
    let parameters: [String: GoldenParameter]
    private let tensors: [String: [Float]]

    var testDescription: String { name }

    /// A tensor of the case, by name.
    subscript(_ tensor: String) -> [Float] {
        guard let values = tensors[tensor] else { fatalError("\(name) has no tensor \(tensor)") }
        return values
    }

    /// Returns a setting of the case, by name.
    func number(_ key: String) -> Double {
        guard let value = settings[key] else { fatalError("\(name) has no setting \(key)") }
        return value
    }

    func count(_ key: String) -> Int { Int(number(key)) }

    var network: Network {
        get throws { try Network(specification!) }
    }

    /// Returns every case of Golden/`file`.json.
    static func load(_ file: String) -> [GoldenCase] {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden")
        do {
            let index = try Data(contentsOf: folder.appending(path: "\(file).json"))
            let bytes = [UInt8](try Data(contentsOf: folder.appending(path: "\(file).bin")))
            let stored = try JSONDecoder().decode([Stored].self, from: index)
            return try stored.map { try GoldenCase($0, bytes) }
        } catch {
            fatalError("Golden/\(file) cannot be read: \(error)")
        }
    }

    private init(_ stored: Stored, _ bytes: [UInt8]) throws {
        name = stored.name
        settings = stored.settings
        parameters = stored.parameters ?? [:]
        specification =
            stored.model.isEmpty
            ? nil
            : try ModelSpecification(
                name: stored.name,
                mapping: StrictDocument.parse(stored.model, fileName: stored.name))
        tensors = stored.tensors.mapValues { place in
            (place.offset..<place.offset + place.count).map { element in
                bytes.withUnsafeBytes {
                    Float(
                        bitPattern: UInt32(
                            littleEndian: $0.loadUnaligned(
                                fromByteOffset: 4 * element, as: UInt32.self)))
                }
            }
        }
    }

    private struct Stored: Decodable {
        struct Place: Decodable {
            let offset: Int
            let count: Int
        }
        let name: String
        let model: String
        let settings: [String: Double]
        let parameters: [String: GoldenParameter]?
        let tensors: [String: Place]
    }
}

/// The inputs of golden cases; `values` in Scripts/golden/golden.py gives equal numbers.
enum GoldenInput {
    /// Numbers in [-1, 1), multiples of 2⁻²³: a hash of their index.
    static func values(_ count: Int, salt: UInt64) -> [Float] {
        (0..<UInt64(count)).map { index in
            var h = (index &* 2_654_435_761 &+ salt &* 0x9E37_79B9) & 0xFFFF_FFFF
            h ^= h >> 16
            h = (h &* 0x45D9_F3B) & 0xFFFF_FFFF
            h ^= h >> 16
            return Float(Double(h >> 8) * 0x1p-23 - 1)
        }
    }

    /// Returns weights of Glorot's size, and small biases.
    static func parameters(_ network: Network) -> [Float] {
        var values = values(network.parameters.elementCount, salt: 2)
        for slot in network.parameters.slots {
            let scale: Float =
                slot.kind == .bias
                ? 0.1 : Float((6 / Double(slot.fanIn + slot.fanOut)).squareRoot())
            for element in slot.range { values[element] *= scale }
        }
        return values
    }
}
