import NeuralNetwork
import Testing

/// Networks that the oneDNN backend is compared with the reference backend on.
struct OneDNNCase: Sendable, CustomTestStringConvertible {
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

    static let all: [OneDNNCase] = [
        OneDNNCase(.cnn(inputShape: [3, 32, 32], classCount: 10)),
        OneDNNCase(.cnn(inputShape: [1, 28, 28], classCount: 10)),
        OneDNNCase("dense alone", [1, 5, 3], [.flatten, dense(7)]),
        OneDNNCase(
            "dense in a row", [3, 4, 4], [.flatten, dense(33, .relu), dense(17, .relu), dense(5)]),
        OneDNNCase("kernel 1", [16, 6, 6], [conv(20, 1, 1), .flatten, dense(4)]),
        OneDNNCase("kernel 7", [3, 15, 13], [conv(16, 7, 7), .flatten, dense(4)]),
        OneDNNCase("kernel 5 by 2", [2, 11, 9], [conv(6, 5, 2), .flatten, dense(3)]),
        OneDNNCase(
            "same, even kernel", [3, 9, 8],
            [conv(16, 4, 2, .same), conv(8, 2, 4, .same), .flatten, dense(4)]),
        OneDNNCase(
            "same, stride 2", [3, 9, 8],
            [
                conv(16, 3, 3, stride: Size2D(2), .same), conv(24, 3, 3, stride: Size2D(2), .same),
                .flatten, dense(4),
            ]),
        OneDNNCase(
            "same, stride 3 by 2", [1, 14, 11],
            [
                conv(16, 5, 3, stride: Size2D(height: 3, width: 2), .same), .flatten, dense(4),
            ]),
        OneDNNCase(
            "stride over", [16, 10, 10], [conv(16, 1, 1, stride: Size2D(3)), .flatten, dense(4)]),
        OneDNNCase(
            "odd channels", [5, 12, 12],
            [
                conv(7, 3, 3), pool(2), conv(19, 3, 3), .flatten, dense(10),
            ]),
        OneDNNCase(
            "many channels", [33, 7, 7],
            [conv(50, 3, 3), pool(2), conv(70, 2, 2), .flatten, dense(9)]),
        OneDNNCase(
            "two pools", [3, 20, 20],
            [conv(16, 3, 3), pool(2), pool(3, stride: 2), .flatten, dense(4)]),
        OneDNNCase(
            "pool that overlaps", [3, 13, 12],
            [
                conv(16, 3, 3), pool(3, stride: 1), conv(12, 3, 3), pool(3, stride: 2), .flatten,
                dense(4),
            ]),
        OneDNNCase(
            "pool, same", [3, 11, 11],
            [
                conv(18, 3, 3), pool(2, .same), conv(16, 2, 2, .same), pool(3, stride: 2, .same),
                .flatten, dense(4),
            ]),
        OneDNNCase(
            "pool with gaps", [3, 14, 14],
            [conv(16, 3, 3), pool(2, stride: 3), .flatten, dense(4)]),
        OneDNNCase("pool first", [3, 12, 10], [pool(2), conv(8, 3, 3), .flatten, dense(4)]),
        OneDNNCase(
            "pool at odd sizes", [1, 11, 13],
            [conv(16, 3, 3), pool(2), conv(32, 2, 2), pool(2), .flatten, dense(4)]),
        OneDNNCase(
            "pool after linear", [3, 10, 10],
            [
                conv(16, 3, 3, .valid, .linear), pool(2), .flatten, dense(4),
            ]),
        OneDNNCase("pool last", [3, 10, 10], [conv(5, 3, 3), pool(2)]),
        OneDNNCase(
            "convolution last", [3, 6, 6], [conv(16, 3, 3), conv(5, 4, 4, .valid, .linear)]),
        OneDNNCase(
            "convolutions without pool", [3, 10, 10],
            [conv(16, 3, 3), conv(16, 3, 3, .same), conv(32, 3, 3), .flatten, dense(4)]),
        OneDNNCase(
            "relu apart", [3, 10, 10],
            [
                .relu, conv(16, 3, 3, .valid, .linear), .relu, pool(2), .relu,
                conv(8, 2, 2, .valid, .linear), .dropout(rate: 0.25), .relu, .flatten, dense(9),
                .relu, dense(4),
            ]),
        OneDNNCase(
            "dropout in the middle", [3, 10, 10],
            [
                .dropout(rate: 0.1), conv(18, 3, 3), .dropout(rate: 0.3), pool(2),
                .dropout(rate: 0.2),
                conv(8, 2, 2), .flatten, .dropout(rate: 0.5), dense(9, .relu), .dropout(rate: 0.5),
                dense(4),
            ]),
        OneDNNCase("dropout last", [1, 4, 4], [.flatten, dense(6, .relu), .dropout(rate: 0.5)]),
        OneDNNCase("image of one pixel", [3, 1, 1], [conv(4, 1, 1), .flatten, dense(2)]),
        OneDNNCase("wide image", [1, 1, 64], [conv(16, 1, 7), pool(1), .flatten, dense(4)]),
    ]

    static let hostHasBF16 =
        Backends.available.contains(.oneDNN)
        && ["avx512_core_bf16", "avx512_core_fp16", "avx512_core_amx"]
            .contains(Backends.hostInstructionSet(.oneDNN))

    /// The ones worth repeating at every tile size and count.
    static let few: [OneDNNCase] = all.filter {
        ["cnn", "odd channels", "dropout in the middle", "pool, same"].contains(
            $0.specification.name)
            && $0.specification.inputShape != [1, 28, 28]
    }
}
