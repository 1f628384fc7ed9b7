extension ModelPreset {
    /// Source: Howard et al., arXiv 1704.04861, table 1. For images below 64 cells the first
    /// convolution keeps the size.
    static let mobileNetV1 = ModelPreset(
        "mobilenet-v1", [3, 224, 224], "Howard et al., 2017: MobileNet, width 1."
    ) { model, inputShape, classCount in
        let isSmall = (inputShape.last ?? 0) < 64
        model.addNormalized("conv1", filters: 32, stride: isSmall ? 1 : 2)
        let blocks = [
            (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1),
            (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
        ]
        var channels = 32
        for (index, (filters, stride)) in blocks.enumerated() {
            model.addNormalized(
                "blocks.\(index).depthwise", filters: channels, stride: stride, groups: channels)
            model.addNormalized("blocks.\(index).pointwise", filters: filters, kernel: 1)
            channels = filters
        }
        model.add(.globalAveragePool)
        model.add(.dense(units: classCount), name: "classifier")
    }

    /// Source: Sandler et al., CVPR 2018, table 2; the names of tensors are those of torchvision.
    /// For images below 64 cells the first convolution and the second stage keep the size.
    static let mobileNetV2 = ModelPreset(
        "mobilenet-v2", [3, 224, 224],
        "Sandler et al., CVPR 2018: MobileNetV2, width 1, with the names of torchvision."
    ) { model, inputShape, classCount in
        let isSmall = (inputShape.last ?? 0) < 64
        model.addInverted("features.0", [(32, 3, isSmall ? 1 : 2, 1, true)], suffixes: ["0"])
        var channels = 32
        var index = 1
        let stages = [
            (1, 16, 1, 1), (6, 24, 2, isSmall ? 1 : 2), (6, 32, 3, 2), (6, 64, 4, 2),
            (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
        ]
        for (expansion, filters, count, firstStride) in stages {
            for block in 0..<count {
                let stride = block == 0 ? firstStride : 1
                let start = model.last
                let wide = channels * expansion
                var parts: [(Int, Int, Int, Int, Bool)] = []
                if expansion > 1 { parts.append((wide, 1, 1, 1, true)) }
                parts.append((wide, 3, stride, wide, true))
                parts.append((filters, 1, 1, 1, false))
                let suffixes = expansion > 1 ? ["0.0", "1.0", "2"] : ["0.0", "1"]
                model.addInverted("features.\(index).conv", parts, suffixes: suffixes)
                if stride == 1, filters == channels { model.add(.add, from: [start, model.last]) }
                channels = filters
                index += 1
            }
        }
        model.addInverted("features.\(index)", [(1280, 1, 1, 1, true)], suffixes: ["0"])
        model.add(.globalAveragePool)
        model.add(.dropout(rate: 0.2))
        model.add(.dense(units: classCount), name: "classifier.1")
    }

    /// Source: Zhang et al., arXiv 1711.07128, the small network for keywords; the first kernel is
    /// 3 x 3 so that it fits square images too.
    static let dsCNN = ModelPreset(
        "ds-cnn", [1, 49, 10], "Zhang et al., 2017: DS-CNN, small, for keywords and small images."
    ) { model, _, classCount in
        model.addNormalized("conv1", filters: 64, stride: 2)
        for index in 0..<4 {
            model.addNormalized("blocks.\(index).depthwise", filters: 64, groups: 64)
            model.addNormalized("blocks.\(index).pointwise", filters: 64, kernel: 1)
        }
        model.add(.globalAveragePool)
        model.add(.dense(units: classCount), name: "classifier")
    }
}

extension ModelBuilder {
    /// Adds a convolution without bias, a batch normalisation and a ReLU.
    mutating func addNormalized(
        _ name: String, filters: Int, kernel: Int = 3, stride: Int = 1, groups: Int = 1
    ) {
        add(
            .conv2D(
                filters: filters, kernel: Size2D(kernel), stride: Size2D(stride),
                padding: .cells(kernel / 2), groups: groups, hasBias: false,
                initializer: .heUniform), name: "\(name).conv")
        add(.batchNorm(), name: "\(name).bn")
        add(.relu)
    }

    /// Adds convolutions with batch normalisation, each with a ReLU6 where its last item says so.
    ///
    /// - Parameters:
    ///   - name: the beginning of all names.
    ///   - parts: filters, kernel, stride, groups, and whether a ReLU6 follows.
    ///   - suffixes: the end of each convolution's name. The number after its last dot is one more
    ///     in the name of the normalisation.
    fileprivate mutating func addInverted(
        _ name: String, _ parts: [(Int, Int, Int, Int, Bool)], suffixes: [String]
    ) {
        for ((filters, kernel, stride, groups, hasReLU), suffix) in zip(parts, suffixes) {
            add(
                .conv2D(
                    filters: filters, kernel: Size2D(kernel), stride: Size2D(stride),
                    padding: .cells(kernel / 2), groups: groups, hasBias: false,
                    initializer: .heUniform), name: "\(name).\(suffix)")
            var path = suffix.split(separator: ".").map(String.init)
            path.append("\((path.popLast().flatMap { Int($0) } ?? 0) + 1)")
            add(.batchNorm(), name: "\(name).\(path.joined(separator: "."))")
            if hasReLU { add(.relu6) }
        }
    }
}
