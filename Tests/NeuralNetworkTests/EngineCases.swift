import Backends
import NeuralNetwork
import Testing

/// A network on which the fast backends are compared with the reference backend.
struct EngineCase: Sendable, CustomTestStringConvertible {
    let specification: ModelSpecification

    init(_ name: String, _ inputShape: [Int], _ layers: [LayerSpecification]) {
        specification = ModelSpecification(name: name, inputShape: inputShape, layers: layers)
    }

    init(_ specification: ModelSpecification) { self.specification = specification }

    var testDescription: String { "\(specification.name) \(specification.inputShape)" }
    func network() throws -> Network { try Network(specification) }

    private static func conv(
        _ filters: Int, _ height: Int, _ width: Int, stride: Size2D = Size2D(1),
        _ padding: Padding = .valid, _ activation: Activation = .relu
    ) -> LayerSpecification {
        .conv2D(
            filters: filters, kernel: Size2D(height: height, width: width), stride: stride,
            padding: padding, activation: activation)
    }

    private static func pool(
        _ size: Int, stride: Int? = nil, _ padding: Padding = .valid
    ) -> LayerSpecification {
        .maxPool2D(size: Size2D(size), stride: Size2D(stride ?? size), padding: padding)
    }

    private static func dense(_ units: Int, _ activation: Activation = .linear)
        -> LayerSpecification
    {
        .dense(units: units, activation: activation)
    }

    static let all: [EngineCase] = [
        EngineCase(.cnn(inputShape: [3, 32, 32], classCount: 10)),
        EngineCase(.cnn(inputShape: [1, 28, 28], classCount: 10)),
        EngineCase("dense alone", [1, 5, 3], [.flatten, dense(7)]),
        EngineCase(
            "dense in a row", [3, 4, 4], [.flatten, dense(33, .relu), dense(17, .relu), dense(5)]),
        EngineCase("kernel 1", [16, 6, 6], [conv(20, 1, 1), .flatten, dense(4)]),
        EngineCase("kernel 7", [3, 15, 13], [conv(16, 7, 7), .flatten, dense(4)]),
        EngineCase("kernel 5 by 2", [2, 11, 9], [conv(6, 5, 2), .flatten, dense(3)]),
        EngineCase(
            "same, even kernel", [3, 9, 8],
            [conv(16, 4, 2, .same), conv(8, 2, 4, .same), .flatten, dense(4)]),
        EngineCase(
            "same, stride 2", [3, 9, 8],
            [
                conv(16, 3, 3, stride: Size2D(2), .same), conv(24, 3, 3, stride: Size2D(2), .same),
                .flatten, dense(4),
            ]),
        EngineCase(
            "same, stride 3 by 2", [1, 14, 11],
            [
                conv(16, 5, 3, stride: Size2D(height: 3, width: 2), .same), .flatten, dense(4),
            ]),
        EngineCase(
            "stride over", [16, 10, 10], [conv(16, 1, 1, stride: Size2D(3)), .flatten, dense(4)]),
        EngineCase(
            "odd channels", [5, 12, 12],
            [
                conv(7, 3, 3), pool(2), conv(19, 3, 3), .flatten, dense(10),
            ]),
        EngineCase(
            "many channels", [33, 7, 7],
            [conv(50, 3, 3), pool(2), conv(70, 2, 2), .flatten, dense(9)]),
        EngineCase(
            "two pools", [3, 20, 20],
            [conv(16, 3, 3), pool(2), pool(3, stride: 2), .flatten, dense(4)]),
        EngineCase(
            "pool that overlaps", [3, 13, 12],
            [
                conv(16, 3, 3), pool(3, stride: 1), conv(12, 3, 3), pool(3, stride: 2), .flatten,
                dense(4),
            ]),
        EngineCase(
            "pool, same", [3, 11, 11],
            [
                conv(18, 3, 3), pool(2, .same), conv(16, 2, 2, .same), pool(3, stride: 2, .same),
                .flatten, dense(4),
            ]),
        EngineCase(
            "pool with gaps", [3, 14, 14],
            [conv(16, 3, 3), pool(2, stride: 3), .flatten, dense(4)]),
        EngineCase("pool first", [3, 12, 10], [pool(2), conv(8, 3, 3), .flatten, dense(4)]),
        EngineCase(
            "pool at odd sizes", [1, 11, 13],
            [conv(16, 3, 3), pool(2), conv(32, 2, 2), pool(2), .flatten, dense(4)]),
        EngineCase(
            "pool after linear", [3, 10, 10],
            [
                conv(16, 3, 3, .valid, .linear), pool(2), .flatten, dense(4),
            ]),
        EngineCase("pool last", [3, 10, 10], [conv(5, 3, 3), pool(2)]),
        EngineCase(
            "convolution last", [3, 6, 6], [conv(16, 3, 3), conv(5, 4, 4, .valid, .linear)]),
        EngineCase(
            "convolutions without pool", [3, 10, 10],
            [conv(16, 3, 3), conv(16, 3, 3, .same), conv(32, 3, 3), .flatten, dense(4)]),
        EngineCase(
            "three by three", [8, 13, 16],
            [
                conv(24, 3, 3), conv(37, 3, 3, .same), pool(2), conv(40, 3, 3),
                conv(11, 3, 3, .same, .linear), pool(2), .flatten, dense(4),
            ]),
        EngineCase(
            "relu apart", [3, 10, 10],
            [
                .relu, conv(16, 3, 3, .valid, .linear), .relu, pool(2), .relu,
                conv(8, 2, 2, .valid, .linear), .dropout(rate: 0.25), .relu, .flatten, dense(9),
                .relu, dense(4),
            ]),
        EngineCase(
            "dropout in the middle", [3, 10, 10],
            [
                .dropout(rate: 0.1), conv(18, 3, 3), .dropout(rate: 0.3), pool(2),
                .dropout(rate: 0.2),
                conv(8, 2, 2), .flatten, .dropout(rate: 0.5), dense(9, .relu), .dropout(rate: 0.5),
                dense(4),
            ]),
        EngineCase("dropout last", [1, 4, 4], [.flatten, dense(6, .relu), .dropout(rate: 0.5)]),
        EngineCase("image of one pixel", [3, 1, 1], [conv(4, 1, 1), .flatten, dense(2)]),
        EngineCase("wide image", [1, 1, 64], [conv(16, 1, 7), pool(1), .flatten, dense(4)]),
    ]

    static let hostHasBF16 = Backends.hasBF16Instructions

    /// The cases worth repeating at every tile size and count.
    static let few: [EngineCase] = all.filter {
        [
            "cnn", "odd channels", "three by three", "dropout in the middle", "pool, same",
        ].contains($0.specification.name)
            && $0.specification.inputShape != [1, 28, 28]
    }
}

/// The backends that are compared with the reference backend.
enum FastBackend {
    static let all = Backends.available.filter { $0 != .reference }

    /// Returns every fast backend with every value.
    static func with<Value: Sendable>(_ values: [Value]) -> [(BackendKind, Value)] {
        all.flatMap { backend in values.map { (backend, $0) } }
    }

    /// Returns every fast backend that computes bf16 on this host with every value; oneDNN needs
    /// instructions for bf16.
    static func withBF16<Value: Sendable>(_ values: [Value]) -> [(BackendKind, Value)] {
        with(values).filter { $0.0 == .native || EngineCase.hostHasBF16 }
    }

    /// The wanted tile size, or the native backend's only one.
    static func tileSize(_ backend: BackendKind, _ wanted: Int) -> Int {
        backend == .native ? NativeEngine.tileSize : wanted
    }
}
