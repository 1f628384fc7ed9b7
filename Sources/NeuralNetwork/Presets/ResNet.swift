extension ModelPreset {
    /// ResNets for small images: three stages of 16, 32 and 64 channels, with shortcuts that have no
    /// parameters (A). Source: He, Zhang, Ren, Sun, CVPR 2016, section 4.2.
    static let resnet8 = smallResNet(8, blocks: 1)
    static let resnet20 = smallResNet(20, blocks: 3)
    static let resnet56 = smallResNet(56, blocks: 9)

    private static func smallResNet(_ depth: Int, blocks: Int) -> ModelPreset {
        ModelPreset(
            "resnet\(depth)", [3, 32, 32],
            "He et al., CVPR 2016, section 4.2: ResNet-\(depth) for images of 32 x 32, shortcut A."
        ) { model, _, classCount in
            model.addConvolution("conv1", filters: 16)
            model.add(.batchNorm(), name: "bn1")
            model.add(.relu)
            for (stage, filters) in [16, 32, 64].enumerated() {
                for block in 0..<blocks {
                    let halves = stage > 0 && block == 0
                    model.addBasicBlock(
                        "layer\(stage + 1).\(block)", filters: filters, halves: halves
                    ) { model in
                        guard halves else { return }
                        // Every other cell, and as many channels again as there were.
                        model.add(.maxPool2D(size: Size2D(1), stride: Size2D(2)))
                        model.add(.padChannels(before: filters / 4, after: filters / 4))
                    }
                }
            }
            model.add(.globalAveragePool)
            model.add(.dense(units: classCount), name: "fc")
        }
    }

    /// ResNet-18 with projections (B). Source: He, Zhang, Ren, Sun, CVPR 2016, table 1; the names
    /// of tensors are those of torchvision.
    static let resnet18 = ModelPreset(
        "resnet18", [3, 224, 224],
        "He et al., CVPR 2016, table 1: ResNet-18, with the names of torchvision."
    ) { model, _, classCount in
        model.add(
            .conv2D(
                filters: 64, kernel: Size2D(7), stride: Size2D(2), padding: .cells(3),
                hasBias: false, initializer: .heUniform), name: "conv1")
        model.add(.batchNorm(), name: "bn1")
        model.add(.relu)
        model.add(.maxPool2D(size: Size2D(3), stride: Size2D(2), padding: .cells(1)))
        for (stage, filters) in [64, 128, 256, 512].enumerated() {
            for block in 0..<2 {
                let name = "layer\(stage + 1).\(block)"
                let halves = stage > 0 && block == 0
                model.addBasicBlock(name, filters: filters, halves: halves) { model in
                    guard halves else { return }
                    model.add(
                        .conv2D(
                            filters: filters, kernel: Size2D(1), stride: Size2D(2),
                            hasBias: false, initializer: .heUniform), name: "\(name).downsample.0")
                    model.add(.batchNorm(), name: "\(name).downsample.1")
                }
            }
        }
        model.add(.globalAveragePool)
        model.add(.dense(units: classCount), name: "fc")
    }
}

extension ModelBuilder {
    /// Adds a convolution of 3 x 3 without bias that keeps the size, or halves it.
    mutating func addConvolution(_ name: String, filters: Int, halves: Bool = false) {
        add(
            .conv2D(
                filters: filters, kernel: Size2D(3), stride: Size2D(halves ? 2 : 1),
                padding: .cells(1), hasBias: false, initializer: .heUniform), name: name)
    }

    /// Adds a residual block of two convolutions.
    ///
    /// - Parameter shortcut: adds the layers of the shortcut; none for the identity.
    mutating func addBasicBlock(
        _ name: String, filters: Int, halves: Bool, shortcut: (inout ModelBuilder) -> Void
    ) {
        let start = last
        addConvolution("\(name).conv1", filters: filters, halves: halves)
        add(.batchNorm(), name: "\(name).bn1")
        add(.relu)
        addConvolution("\(name).conv2", filters: filters)
        let end = add(.batchNorm(), name: "\(name).bn2")
        branch(from: start)
        shortcut(&self)
        add(.add, from: [end, last])
        add(.relu)
    }
}
