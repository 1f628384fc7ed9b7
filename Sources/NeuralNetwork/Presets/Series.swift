extension ModelPreset {
    /// Source: Wang, Yan, Oates, IJCNN 2017: the fully convolutional network for series.
    static let fcn1D = ModelPreset(
        "fcn1d", [9, 1, 128], "Wang, Yan and Oates, 2017: FCN for series [channels, 1, length]."
    ) { model, _, classCount in
        for (index, (filters, kernel)) in [(128, 8), (256, 5), (128, 3)].enumerated() {
            model.add(
                .conv1D(
                    filters: filters, kernel: kernel, padding: .same, hasBias: false,
                    initializer: .heUniform), name: "blocks.\(index).conv")
            model.add(.batchNorm(), name: "blocks.\(index).bn")
            model.add(.relu)
        }
        model.add(.globalAveragePool)
        model.add(.dense(units: classCount), name: "classifier")
    }

    /// Source: Ismail Fawaz et al., Data Mining and Knowledge Discovery 2020: one network of
    /// InceptionTime, which is an ensemble of five.
    static let inceptionTime = ModelPreset(
        "inception-time", [9, 1, 128],
        "Ismail Fawaz et al., 2020: one network of InceptionTime for series [channels, 1, length]."
    ) { model, _, classCount in
        var shortcut = model.last
        for index in 0..<6 {
            let start = model.last
            let name = "blocks.\(index)"
            // The source has no bottleneck in front of series of one channel; here there always is
            // one.
            let narrow = model.add(
                .conv1D(filters: 32, kernel: 1, hasBias: false, initializer: .heUniform),
                name: "\(name).bottleneck")
            var ends: [ModelBuilder.Value] = []
            for kernel in [40, 20, 10] {
                ends.append(
                    model.add(
                        .conv1D(
                            filters: 32, kernel: kernel, padding: .same, hasBias: false,
                            initializer: .heUniform), name: "\(name).conv\(kernel)",
                        from: [narrow]))
            }
            model.branch(from: start)
            model.add(
                .maxPool2D(
                    size: Size2D(height: 1, width: 3), stride: Size2D(1),
                    padding: .explicit(PaddingAmounts(top: 0, left: 1, bottom: 0, right: 1))))
            ends.append(
                model.add(
                    .conv1D(filters: 32, kernel: 1, hasBias: false, initializer: .heUniform),
                    name: "\(name).pool"))
            model.add(.concat, from: ends)
            model.add(.batchNorm(), name: "\(name).bn")
            let end = model.add(.relu)
            guard index % 3 == 2 else { continue }
            model.branch(from: shortcut)
            model.add(
                .conv1D(filters: 128, kernel: 1, hasBias: false, initializer: .heUniform),
                name: "shortcuts.\(index / 3).conv")
            let projected = model.add(.batchNorm(), name: "shortcuts.\(index / 3).bn")
            model.add(.add, from: [projected, end])
            shortcut = model.add(.relu)
        }
        model.add(.globalAveragePool)
        model.add(.dense(units: classCount), name: "classifier")
    }
}
